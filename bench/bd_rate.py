"""Bjøntegaard's delta rate: how much more one codec spends than another at equal quality.

Bjøntegaard 2001 (VCEG-M33) integrates the logarithm of the rate over the quality range that two
rate-distortion curves share; between the measured points the curves are interpolated by
piecewise cubic Hermite polynomials that keep monotony (PCHIP, Fritsch and Butland 1984), as the
video standards' common test conditions do, since a cubic through all points may swing between
them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

MIN_POINTS = 2
"""PCHIP needs two; four are customary."""


def bd_rate(
    anchor_rates: ArrayLike, anchor_quality: ArrayLike, rates: ArrayLike, quality: ArrayLike
) -> float:
    """Average difference of rate at equal quality, per cent; negative: less than the anchor.

    Parameters
    ----------
    anchor_rates, rates : array_like, shape (n,) and (m,)
        Bits a pixel, positive, at least two points.
    anchor_quality, quality : array_like, shape (n,) and (m,)
        PSNR in dB, or any measure that rises with the rate.

    Returns
    -------
    float
        NaN if the curves share no range of quality.

    Raises
    ------
    ValueError
        If a curve is too short, or its quality does not rise with its rate.
    """
    first, second = _curve(anchor_rates, anchor_quality), _curve(rates, quality)
    low = max(first.x[0], second.x[0])
    high = min(first.x[-1], second.x[-1])
    if low >= high:
        return math.nan
    gap = float(second.integrate(low, high) - first.integrate(low, high)) / float(high - low)
    return 100.0 * math.expm1(gap)


def _curve(rates: ArrayLike, quality: ArrayLike) -> PchipInterpolator:
    """Natural logarithm of the rate over quality."""
    rate, level = np.asarray(rates, float), np.asarray(quality, float)
    if rate.shape != level.shape or rate.ndim != 1 or len(rate) < MIN_POINTS:
        raise ValueError(
            f"expected at least {MIN_POINTS} points of rate and as many of quality, "
            f"found shapes {rate.shape} and {level.shape}"
        )
    order: NDArray[np.intp] = np.argsort(rate)
    rate, level = rate[order], level[order]
    if rate[0] <= 0.0 or np.any(np.diff(level) <= 0.0):
        raise ValueError(f"quality must rise with a positive rate, found {level} at {rate}")
    return PchipInterpolator(level, np.log(rate))
