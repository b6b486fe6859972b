"""Discriminator of pictures: judges patches, given the latents that they were drawn from.

A stack of strided convolutions whose scores each see a patch (Isola et al., *Image-to-image
translation with conditional adversarial networks*, CVPR 2017), told the latents as in HiFiC
(Mentzer et al., *High-fidelity generative image compression*, NeurIPS 2020), so that a picture must
not only look real but be one that these latents may stand for. Spectral normalization (Miyato et
al., ICLR 2018) keeps its slopes bounded. As in the other image networks nothing is spent at full
resolution.

It is shown a picture as bands of even strength. In the pixels themselves brightness is ten times as
strong as the fine detail that gives a decoded picture away: shown those it had learned nothing
in a hundred steps, after which it tells nearly all patches apart in their finest band.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from streamcodec.nn.boxes import box_means
from streamcodec.nn.image import COLOURS, STRIDE

FIRST_PATCH = 4
"""Pixels along the side of what the first layer takes for one place."""

BANDS = ((3, 6.0), (9, 4.0))
"""Sides of the boxes whose means part a picture into bands, and what makes each band as strong as
the others, about."""

COARSE_GAIN = 0.5
"""The same of what is left below them."""

LEAK = 0.2
"""Slope of the leaky rectifiers, as in Isola et al."""


class PatchDiscriminator(nn.Module):
    """Scores of patches.

    Parameters
    ----------
    latent_dim : int
        Channels of the latents.
    channels : int
        Width of the first layer; it grows fourfold to the last.
    """

    def __init__(self, latent_dim: int, channels: int = 64) -> None:
        super().__init__()
        c = channels
        shown = COLOURS * (len(BANDS) + 1)
        self.layers = nn.ModuleList(
            [
                _normalized(nn.Conv2d(shown * FIRST_PATCH**2, c, 3, padding=1)),
                _normalized(nn.Conv2d(c, 2 * c, 4, stride=2, padding=1)),
                _normalized(nn.Conv2d(2 * c, 4 * c, 4, stride=2, padding=1)),
            ]
        )
        self.given = _normalized(nn.Conv2d(latent_dim, c, 1))
        self.joint = _normalized(nn.Conv2d(5 * c, 4 * c, 3, padding=1))
        self.output = _normalized(nn.Conv2d(4 * c, 1, 3, padding=1))

    def forward(self, pixels: Tensor, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge pictures.

        Parameters
        ----------
        pixels
            ``(n, 3, 16 h, 16 w)`` in 0..1.
        latents
            ``(n, h, w, latent_dim)``

        Returns
        -------
        Scores ``(n, 1, h, w)``, high for what looks real, and the feature maps before them.

        Raises
        ------
        ValueError
            Pictures and latents are not of the same place.
        """
        if tuple(pixels.shape[2:]) != tuple(STRIDE * n for n in latents.shape[1:3]):
            raise ValueError(f"no pictures {tuple(pixels.shape)} of latents {tuple(latents.shape)}")
        x = F.pixel_unshuffle(in_bands(pixels), FIRST_PATCH)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK)
            features.append(x)
        told = F.leaky_relu(self.given(latents.permute(0, 3, 1, 2)), LEAK)
        x = F.leaky_relu(self.joint(torch.cat([x, told], dim=1)), LEAK)
        features.append(x)
        return self.output(x), features


def in_bands(pixels: Tensor) -> Tensor:
    """Pictures ``(n, c, h, w)`` in 0..1 as bands from fine to coarse, ``(n, bands * c, h, w)``."""
    rest, bands = pixels, []
    for side, gain in BANDS:
        edge = side // 2
        smooth = F.pad(rest, (edge, edge, edge, edge), mode="reflect")
        smooth = box_means(smooth, side)
        bands.append(gain * (rest - smooth))
        rest = smooth
    return torch.cat([*bands, COARSE_GAIN * (rest - 0.5)], dim=1)


def _normalized(layer: nn.Conv2d) -> nn.Module:
    return spectral_norm(layer)
