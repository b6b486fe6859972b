"""What the search may call close, for pictures ``(n, 3, h, w)`` with values in 0..1.

As everywhere (:mod:`streamcodec.core.distortion`) another distortion changes neither bitstream
nor decoder. All are scaled such that the trade-offs of a model trained for squared error put them
near the rate of the rung.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from streamcodec.core.distortion import Distortion, squared_error
from streamcodec.errors import InputError

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales (Wang, Simoncelli and Bovik, Asilomar 2003)."""

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of the Gaussian window of SSIM, pixels (the same source)."""

BAND = 64
"""Samples that one product of matrices steps on by; the window's overlap costs a sixth on top."""

SPARSE, SPARSE_SIDE = 2, 64
"""What is to be minimized looks at every second window, along both axes, of scales of at least
this side: windows overlap so much that their mean is the same to 1 %, for a third of the time."""

C1, C2 = 0.01**2, 0.03**2
"""Stabilizing constants of SSIM for values in 0..1 (Wang et al., IEEE TIP 2004)."""

STRUCTURE_WEIGHT = 0.02
"""Squared error that a loss of 1 in MS-SSIM is worth: at 0.3 bit a pixel photographs have a
squared error near 0.0008 and 1 - MS-SSIM near 0.04."""

ERROR_SHARE = 0.15
"""Share of the squared error that the MS-SSIM-leaning distortion keeps; without it colours and
brightness drift, which MS-SSIM hardly sees."""

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue weigh in luma (ITU-R BT.601)."""

LUMA_SHARE = 0.5
"""Share of luma's squared error in the distortion that leans to luma."""


def ms_ssim(pictures: Tensor, target: Tensor, *, sparse: bool = False) -> Tensor:
    """Multi-scale structural similarity ``(n,)`` of pictures to a target.

    Mean over colours; pictures too small for all five scales are measured on as many as fit.
    ``sparse`` leaves out windows, see ``SPARSE``.

    Source: Wang, Simoncelli and Bovik, *Multiscale structural similarity for image quality
    assessment*, Asilomar 2003.
    """
    target = target.expand_as(pictures)
    kernel = _window(pictures)
    fitting = 1
    side = min(pictures.shape[-2:])
    while fitting < len(MS_SSIM_WEIGHTS) and side >> fitting >= WINDOW:
        fitting += 1
    weights = MS_SSIM_WEIGHTS[:fitting]
    total = sum(weights)
    result = pictures.new_ones(pictures.shape[0])
    for scale, weight in enumerate(weights):
        stride = SPARSE if sparse and side >> scale >= SPARSE_SIDE else 1
        last = scale == fitting - 1
        value = _similarity(pictures, target, kernel, stride, brightness=last).mean(dim=(1, 2, 3))
        # A negative correlation has no root; it is as bad as none.
        result = result * value.clamp_min(1e-4) ** (weight / total)
        if not last:
            pictures = F.avg_pool2d(pictures, 2)
            target = F.avg_pool2d(target, 2)
    return result


def structural(pictures: Tensor, target: Tensor) -> Tensor:
    """Distortion that leans to MS-SSIM, with some squared error."""
    loss = 1.0 - ms_ssim(pictures, target, sparse=True)
    return STRUCTURE_WEIGHT * loss + ERROR_SHARE * squared_error(pictures, target)


def luminous(pictures: Tensor, target: Tensor) -> Tensor:
    """Squared error half over the colours and half in luma, which eyes see sharper.

    Codecs that keep colours at half the resolution favour luma as much and more.
    """
    error = pictures - target
    luma = torch.einsum("nchw,c->nhw", error, error.new_tensor(LUMA))
    colours = error.square().flatten(1).mean(dim=1)
    return LUMA_SHARE * luma.square().flatten(1).mean(dim=1) + (1.0 - LUMA_SHARE) * colours


DISTORTIONS: dict[str, Distortion] = {
    "mse": squared_error,
    "luma": luminous,
    "ms-ssim": structural,
}
"""Distortions by the names that a caller may give."""

DEFAULT_DISTORTION = "mse"
"""Of a model that does not say what it is made for."""


def named_distortion(distortion: str | Distortion) -> Distortion:
    """A distortion by its name; a callable is given back.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if not isinstance(distortion, str):
        return distortion
    if distortion not in DISTORTIONS:
        raise InputError(f"distortion must be one of {tuple(DISTORTIONS)}, not {distortion!r}")
    return DISTORTIONS[distortion]


def _window(like: Tensor) -> Tensor:
    """Gaussian of unit sum ``(w,)``, no larger than the picture."""
    size = min(WINDOW, *like.shape[-2:])
    place = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-place.square() / (2 * SIGMA**2))
    return weights / weights.sum()


def _blurred(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Mean under the window wherever it fits, or at every ``stride``-th place, along both axes."""
    band = x.new_zeros(BAND + len(kernel) - stride, BAND // stride)
    for k, weight in enumerate(kernel):
        places = torch.arange(BAND // stride, device=x.device)
        band[places * stride + k, places] = weight
    return _blurred_rows(_blurred_rows(x, band, kernel, stride).mT, band, kernel, stride).mT


def _blurred_rows(x: Tensor, band: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """The same along the last axis: ``BAND / stride`` means at a time by one product of matrices.

    On a CPU that takes a twentieth of the time of a convolution with one channel.
    """
    means = (x.shape[-1] - len(kernel)) // stride + 1
    products = -(-means // band.shape[1])
    x = F.pad(x, (0, max(0, (products - 1) * BAND + len(band) - x.shape[-1])))
    parts = x.unfold(-1, len(band), BAND)[..., :products, :]
    # One product of two matrices; as a batch of small ones it takes three times as long.
    blurred = parts.reshape(-1, len(band)) @ band
    return blurred.view(*x.shape[:-1], -1)[..., :means]


def _similarity(a: Tensor, b: Tensor, kernel: Tensor, stride: int, *, brightness: bool) -> Tensor:
    """Similarity of contrast and structure, and of brightness if asked: ``(n, colours, h, w)``."""
    mean_a, mean_b = _blurred(a, kernel, stride), _blurred(b, kernel, stride)
    product = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    variance = _blurred(a.square() + b.square(), kernel, stride) - squares
    covariance = _blurred(a * b, kernel, stride) - product
    similarity = (2 * covariance + C2) / (variance + C2)
    return similarity * ((2 * product + C1) / (squares + C1)) if brightness else similarity
