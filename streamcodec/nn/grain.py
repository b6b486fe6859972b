"""Grain: how strong the fine texture is that a decoded picture lacks, told from what G composes.

What a generator draws for squared error is the mean of all that the latents may stand for, and the
mean of textures is none. Where they are fine the eye minds their strength and not their course, so
a decoder may put noise in their place, as video codecs do with the grain of film (Norkin and
Birkbeck, *Film grain synthesis for AV1 video codec*, DCC 2018). Here nothing is sent for it: the
strength of what is lacking, in two bands, is learned from residuals, as the variance of a
Gaussian.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamcodec.nn.boxes import box_means
from streamcodec.nn.image import FOLD, PATCH

BOXES = (3, 9)
"""Sides of the boxes whose means part a plane into bands, pixels."""

BANDS = len(BOXES)

MARGIN = sum(side // 2 for side in BOXES)
"""Pixels around a plane that its bands depend on."""

HIDDEN = 64

USUAL_STRENGTH = 0.02
"""What the network tells factors on, pixel values."""

WEAKEST, STRONGEST = math.log(1e-4), math.log(0.5)
"""Logarithms of strengths, at least and at most."""


class Grain(nn.Module):
    """Strength of what is lacking.

    Parameters
    ----------
    channels : int
        Of what the generator composes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Of one position alone: grain is to be the same in a region as in the whole picture.
        self.hidden = nn.Conv2d(channels, HIDDEN, 1)
        self.output = nn.Conv2d(HIDDEN, BANDS * FOLD**2, 1)
        nn.init.zeros_(self.output.weight)

    def forward(self, composed: Tensor) -> Tensor:
        """Logarithm of the strength in each band, one for each patch.

        ``composed`` ``(n, channels, h, w)`` is what :meth:`ImageGenerator.compose` gives; the
        result is ``(n, BANDS, FOLD h, FOLD w)``, of standard deviations in pixel values.
        """
        x = math.log(USUAL_STRENGTH) + self.output(F.silu(self.hidden(composed)))
        return F.pixel_shuffle(x, FOLD).clamp(WEAKEST, STRONGEST)


def bands_of(planes: Tensor) -> Tensor:
    """Part planes ``(n, 1, h + 2 MARGIN, w + 2 MARGIN)`` into bands ``(n, BANDS, h, w)``.

    From fine to coarse; what is coarser than the last box is left out.
    """
    bands, rest = [], planes
    for side in BOXES:
        edge = side // 2
        smooth = box_means(rest, side)
        bands.append(rest[:, :, edge:-edge, edge:-edge] - smooth)
        rest = smooth
    height, width = rest.shape[2:]
    return torch.cat([_middle(band, height, width) for band in bands], dim=1)


def _middle(band: Tensor, height: int, width: int) -> Tensor:
    top, left = (band.shape[2] - height) // 2, (band.shape[3] - width) // 2
    return band[:, :, top : top + height, left : left + width]


def surprise(strengths: Tensor, residual: Tensor) -> Tensor:
    """What a residual says against predicted strengths: mean negative log-likelihood, in nats.

    Parameters
    ----------
    strengths
        Logarithms ``(n, BANDS, h, w)``, one for each patch.
    residual
        Luma of the original less that of the decoded picture, ``(n, 1, PATCH h, PATCH w)``.
    """
    around = F.pad(residual, (MARGIN,) * 4, mode="reflect")
    energy = F.avg_pool2d(bands_of(around).square(), PATCH)
    return (strengths + 0.5 * energy * torch.exp(-2.0 * strengths)).mean()
