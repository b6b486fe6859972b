"""MS-SSIM is what its source says it is, and the search can follow its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from streamcodec.errors import InputError
from streamcodec.image.distortion import (
    DISTORTIONS,
    MS_SSIM_WEIGHTS,
    luminous,
    ms_ssim,
    named_distortion,
    structural,
)


def plain_ssim_terms(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure of two planes, window by window."""
    place = torch.arange(11.0) - 5
    kernel = torch.exp(-place.square() / 4.5)
    kernel = torch.outer(kernel, kernel)
    kernel /= kernel.sum()
    windows_a = a.unfold(0, 11, 1).unfold(1, 11, 1)
    windows_b = b.unfold(0, 11, 1).unfold(1, 11, 1)
    mean_a = (windows_a * kernel).sum((-1, -2))
    mean_b = (windows_b * kernel).sum((-1, -2))
    var_a = ((windows_a - mean_a[..., None, None]).square() * kernel).sum((-1, -2))
    var_b = ((windows_b - mean_b[..., None, None]).square() * kernel).sum((-1, -2))
    both = (windows_a - mean_a[..., None, None]) * (windows_b - mean_b[..., None, None])
    covariance = (both * kernel).sum((-1, -2))
    structure = (2 * covariance + 9e-4) / (var_a + var_b + 9e-4)
    brightness = (2 * mean_a * mean_b + 1e-4) / (mean_a.square() + mean_b.square() + 1e-4)
    return float((brightness * structure).mean()), float(structure.mean())


def test_against_the_definition() -> None:
    generator = torch.Generator().manual_seed(3)
    target = F.avg_pool2d(torch.rand(1, 1, 208, 196, generator=generator), 3, 1, 1)
    picture = (target + 0.05 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    expected = 1.0
    a, b = picture, target
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        ssim, structure = plain_ssim_terms(a[0, 0].double(), b[0, 0].double())
        expected *= (ssim if scale == 4 else structure) ** (weight / sum(MS_SSIM_WEIGHTS))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    assert float(ms_ssim(picture, target)) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (11, 11), (300, 20)])
def test_any_size_is_measured(size: tuple[int, int]) -> None:
    target = torch.rand(1, 3, *size)
    assert float(ms_ssim(target, target)) == pytest.approx(1.0, abs=1e-5)
    pictures = torch.rand(2, 3, *size).requires_grad_()
    loss = structural(pictures, target)
    assert loss.shape == (2,)
    loss.sum().backward()
    assert pictures.grad is not None
    assert bool(pictures.grad.isfinite().all())


def test_luma_is_favoured() -> None:
    target = torch.full((1, 3, 4, 4), 0.5)
    grey = target + 0.1
    # Green up and red down: the brightness stays.
    tinted = target + torch.tensor([-0.1 * 0.587 / 0.299, 0.1, 0.0])[None, :, None, None]
    pictures = torch.cat([target, grey, tinted])
    error = (pictures - target).square().flatten(1).mean(1)
    assert luminous(pictures, target).tolist() == pytest.approx([0.0, 0.01, float(error[2]) / 2])


def test_names() -> None:
    assert named_distortion("mse") is DISTORTIONS["mse"]
    assert named_distortion(structural) is structural
    with pytest.raises(InputError, match="ms-ssim"):
        named_distortion("vmaf")
    assert np.isfinite(float(DISTORTIONS["mse"](torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2))))
