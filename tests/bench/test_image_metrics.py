import math

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from bench.image_metrics import LOSSLESS_DB, Fidelity, luma, multiscale_ssim, psnr
from tests.bench.pictures import make_scene

SCENE = make_scene(192, 208)
NOISY = np.clip(SCENE + np.random.default_rng(2).normal(0.0, 12.0, SCENE.shape), 0, 255).astype(
    np.uint8
)


def reference_ms_ssim(first, second):
    """By the papers' formulas on one channel, in double precision and without torch."""
    positions = np.arange(11) - 5
    window = np.exp(-(positions**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(array):
        for axis in (0, 1):
            array = correlate1d(array, window, axis=axis)
        return array[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    result = 1.0
    for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mean1, mean2 = blur(first), blur(second)
        variance1, variance2 = blur(first**2) - mean1**2, blur(second**2) - mean2**2
        covariance = blur(first * second) - mean1 * mean2
        structure = (2 * covariance + c2) / (variance1 + variance2 + c2)
        if scale == 4:
            structure *= (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
        result *= structure.mean() ** exponent
        if scale == 4:
            break
        rows, columns = (side // 2 for side in first.shape)
        first, second = (
            array.reshape(rows, 2, columns, 2).mean(axis=(1, 3)) for array in (first, second)
        )
    return result


def test_psnr_of_known_errors():
    zeros = np.zeros((4, 4))
    assert psnr(zeros, zeros + 1.0) == pytest.approx(48.1308, abs=1e-4)  # 20 log10(255)
    assert psnr(zeros, zeros + 255.0) == pytest.approx(0.0)
    # One sample of sixteen off by four: the mean squared error is 1 again.
    zeros_with_error = zeros.copy()
    zeros_with_error[0, 0] = 4.0
    assert psnr(zeros, zeros_with_error) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(zeros, zeros) == LOSSLESS_DB


def test_luma_is_that_of_bt_601_over_the_full_range():
    colours = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([255.0, 76.245, 149.685, 29.07])


def test_ms_ssim_agrees_with_the_formulas():
    # Sides of 192 and 208 halve evenly four times.
    expected = reference_ms_ssim(luma(SCENE), luma(NOISY))
    assert 0.5 < expected < 0.999
    assert multiscale_ssim(luma(SCENE), luma(NOISY)) == pytest.approx(expected, abs=2e-6)


def test_ms_ssim_of_colour_is_the_mean_of_the_channels():
    first, second = SCENE.astype(float), NOISY.astype(float)
    channels = [reference_ms_ssim(first[..., i], second[..., i]) for i in range(3)]
    assert multiscale_ssim(first, second) == pytest.approx(np.mean(channels), abs=2e-6)


def test_ms_ssim_needs_room_for_its_window():
    small = np.zeros((160, 400))
    assert math.isnan(multiscale_ssim(small, small))
    large = np.zeros((161, 161))
    assert multiscale_ssim(large, large) == pytest.approx(1.0)


def test_score_gives_all_columns():
    values = Fidelity()("x", SCENE, NOISY)
    assert tuple(values) == Fidelity.columns
    error = np.mean((SCENE.astype(float) - NOISY) ** 2)
    assert values["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / error))
    # Errors of the channels are independent, so luma averages them out.
    assert values["psnr_luma"] > values["psnr_rgb"] + 2.0
