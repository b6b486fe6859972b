"""Distance between a picture and what was decoded: PSNR and MS-SSIM, of RGB and of luma.

Luma is that of BT.601 over the full range of 8 bits, not rounded (the JFIF definition):
``Y = 0.299 R + 0.587 G + 0.114 B``. PSNR is taken of the mean squared error over all samples of
the picture (of RGB: over the three channels together), then averaged over pictures. MS-SSIM is
that of Wang, Simoncelli and Bovik (2003): five scales, a Gaussian window of 11 samples and
sigma 1.5, K = (0.01, 0.03); of RGB it is the mean of the three channels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim

from bench.metrics import Values
from bench.pictures import Pixels

PEAK = 255.0
"""Largest sample of 8 bits."""

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601, section 2.5.1."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales (Wang, Simoncelli, Bovik 2003, section 3.2)."""

WINDOW_LENGTH = 11
WINDOW_SIGMA = 1.5
STABILITY = (0.01, 0.03)
"""Window and constants of SSIM (Wang et al. 2004, section III.C)."""

SMALLEST_SIDE = (WINDOW_LENGTH - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""MS-SSIM needs room for a window on the coarsest scale: 161 pixels."""

LOSSLESS_DB = 100.0
"""PSNR given for a picture without error, where the formula has none."""


def luma(pixels: Pixels) -> NDArray[np.float64]:
    """Full-range BT.601 luma, float64 of shape (h, w), of RGB ``pixels`` of shape (h, w, 3)."""
    return pixels.astype(np.float64) @ np.asarray(LUMA_WEIGHTS)


def psnr(original: NDArray[np.float64], decoded: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio in dB of arrays of one shape, samples of 0 to 255."""
    error = float(np.mean(np.square(original - decoded)))
    if error == 0.0:
        return LOSSLESS_DB
    return 10.0 * math.log10(PEAK * PEAK / error)


def multiscale_ssim(original: NDArray[np.float64], decoded: NDArray[np.float64]) -> float:
    """MS-SSIM, 0 to 1, of arrays of shape (h, w) or (h, w, 3), samples of 0 to 255.

    NaN for a picture with a side below ``SMALLEST_SIDE``.
    """
    if min(original.shape[:2]) < SMALLEST_SIDE:
        return math.nan
    first, second = _batch(original), _batch(decoded)
    value = ms_ssim(
        first,
        second,
        data_range=PEAK,
        win_size=WINDOW_LENGTH,
        win_sigma=WINDOW_SIGMA,
        weights=list(SCALE_WEIGHTS),
        K=STABILITY,
    )
    return float(value)


def _batch(array: NDArray[np.float64]) -> torch.Tensor:
    """Shape (1, channels, h, w), in single precision: within 1e-6 of double, and twice as fast."""
    return torch.from_numpy(np.atleast_3d(array).astype(np.float32)).permute(2, 0, 1)[None]


class Fidelity:
    """PSNR and MS-SSIM as a score of the image bench.

    Attributes
    ----------
    key : str
        Names this set of values in the cache; counted up when one is measured differently.
    columns : tuple of str
        Values given.
    """

    key = "fidelity-1"
    columns = ("psnr_rgb", "ms_ssim_rgb", "psnr_luma", "ms_ssim_luma")

    def __call__(self, name: str, original: Pixels, decoded: Pixels) -> Values:
        """Score one decoded picture; ``name`` is not used."""
        pair = original.astype(np.float64), decoded.astype(np.float64)
        lumas = luma(original), luma(decoded)
        return {
            "psnr_rgb": psnr(*pair),
            "ms_ssim_rgb": multiscale_ssim(*pair),
            "psnr_luma": psnr(*lumas),
            "ms_ssim_luma": multiscale_ssim(*lumas),
        }
