"""The learned prior over quantized latents of a picture: the speech prior, laid out in space.

What the last steps are to a stream, the neighbours above and to the left are to a position of a
tile: the same network (:mod:`streamcodec.nn.prior`) rates the symbols of a position, channel
after channel, from the symbols of those neighbours, and the same integer form of it drives the
coder. Outside the tile there are zeros, so every tile can be decoded by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from streamcodec.nn.prior import MaskedPrior, logistic_bits

NEIGHBOURS = ((-2, 0), (-1, -1), (-1, 0), (-1, 1), (0, -2), (0, -1))
"""Places ``(dy, dx)`` of the context, all before (0, 0) in raster order."""

REACH = 2
"""Positions that NEIGHBOURS reach in any direction, at most."""


class SpatialPrior(MaskedPrior):
    """Distribution of each latent symbol of a tile given those before it in raster order."""

    def __init__(
        self, latent_dim: int, hidden: int, rate_scales: tuple[float, ...] = (1.0,)
    ) -> None:
        super().__init__(latent_dim, len(NEIGHBOURS), hidden, rate_scales)

    def distributions(self, symbols: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Locations and log-scales of ``symbols`` ``(n, h, w, latent_dim)``.

        ``rate`` ``(n,)`` is the rung of the ladder of each tile.
        """
        scale = self.rate_scales[rate][:, None, None, None]
        normalized = symbols / scale
        x = self.context(neighbourhood(normalized))
        x = x + F.linear(normalized, self._masked(self.current, self.current_mask))
        return self._behind_first(x, scale, self.rate_bias[rate][:, None, None])

    def tile_bits(self, values: Tensor, symbols: Tensor, rate: Tensor) -> Tensor:
        """Bits that coding ``values`` costs, ``(n, h, w, latent_dim)``.

        ``values`` may be real (symbols plus noise, for gradients); ``symbols`` are the integers
        that the network sees as context.
        """
        location, log_scale = self.distributions(symbols, rate)
        return logistic_bits(values - location, log_scale)


def neighbourhood(symbols: Tensor) -> Tensor:
    """Context of every position: ``(n, h, w, c)`` to ``(n, h, w, len(NEIGHBOURS) * c)``."""
    _, height, width, _ = symbols.shape
    padded = F.pad(symbols, (0, 0, REACH, REACH, REACH, 0))
    return torch.cat(
        [
            padded[:, REACH + dy : REACH + dy + height, REACH + dx : REACH + dx + width]
            for dy, dx in NEIGHBOURS
        ],
        dim=3,
    )
