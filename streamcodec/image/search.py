"""Joint search of the latents of some tiles, their surroundings held fast.

A picture of up to ``MAX_WINDOW`` positions is searched in one piece, across all its tiles; a
larger one in windows of some tiles, from the top left to the bottom right. Around a window lie
latents that count but do not move: behind it what has been found, before it E's guess. The
distortion is measured a little beyond the window, where its latents still show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamcodec.core.distortion import Distortion
from streamcodec.core.integer_network import MAX_SYMBOL
from streamcodec.core.search import Budget, LatentSearch
from streamcodec.image.model import ImageModel
from streamcodec.image.rate import USUAL_SLOPE, PriceControl, settle
from streamcodec.image.tiles import Box, TileGrid
from streamcodec.nn.image import COLOURS, STRIDE

MAX_WINDOW = 2048
"""Positions that are searched together at most, unless one tile has more: half a megapixel, for
which the generator's activations take some 150 MB."""

MARGIN = 4
"""Positions around a window that the generator sees. Its receptive field is larger, but what lies
further away hardly counts; the decoder uses all of it."""

SEEN = 2
"""Positions around a window in which distortion is measured."""

LOOK_EVERY = 4
"""Iterations between looks at the bits that the lattice points would cost."""


@dataclass(frozen=True)
class Window:
    """Tiles that are searched together.

    Attributes
    ----------
    box : Box
    tiles : tuple of int
        Their numbers.
    """

    box: Box
    tiles: tuple[int, ...]


def windows_of(grid: TileGrid) -> list[Window]:
    """The windows of a picture, in raster order."""
    if grid.bounds.area <= MAX_WINDOW:
        return [Window(grid.bounds, tuple(range(len(grid))))]
    windows = []
    for row in range(grid.rows):
        first, end = row * grid.columns, (row + 1) * grid.columns
        while first < end:
            last = first + 1
            while last < end and _spanned(grid, first, last).area <= MAX_WINDOW:
                last += 1
            windows.append(Window(_spanned(grid, first, last - 1), tuple(range(first, last))))
            first = last
    return windows


def _spanned(grid: TileGrid, first: int, last: int) -> Box:
    a, b = grid[first], grid[last]
    return Box(a.y0, a.y1, a.x0, b.x1)


@dataclass
class Surroundings:
    """A window with all that its search needs.

    Attributes
    ----------
    window : Window
    tiles : list of Box
        Places of the window's tiles in the window.
    inner : Box
        Place of the window in its surroundings.
    guess : Tensor
        E's latents of the window in lattice units, ``(h, w, dim)``.
    fixed : Tensor
        Latents around it as the generator takes them, zeros inside, ``(H, W, dim)``.
    seen : Box
        Pixels of the surroundings in which distortion is measured.
    target : Tensor
        These pixels, ``(1, 3, h, w)`` in 0..1.
    """

    window: Window
    tiles: list[Box]
    inner: Box
    guess: Tensor
    fixed: Tensor
    seen: Box
    target: Tensor


class WindowProblem:
    """Distortion and bits of a window as functions of its latents, in lattice units.

    Parameters
    ----------
    control
        Tells the price of a bit, and is told the bits from time to time.
    colour
        Whether the picture has colours; of a grey one the mean of the colours is what counts.
    tick
        Called once an iteration.
    """

    def __init__(
        self,
        model: ImageModel,
        rung: int,
        place: Surroundings,
        distortion: Distortion,
        control: PriceControl,
        *,
        colour: bool,
        tick: Callable[[], None],
    ) -> None:
        self._model = model
        self._gain = model.gains[rung]
        self._rung = torch.tensor([rung])
        self._place = place
        self._distortion = distortion
        self._control = control
        self._colour = colour
        self._tick = tick
        self._iterations = 0

    def pictures(self, latents: Tensor) -> Tensor:
        """What G makes of latents ``(n, h, w, dim)``, where it counts: ``(n, 3, h, w)``."""
        place = self._place
        inner, outer = place.inner, place.fixed.shape
        around = (0, 0, inner.x0, outer[1] - inner.x1, inner.y0, outer[0] - inner.y1)
        everything = place.fixed + F.pad(latents / self._gain, around)
        pictures = self._model.search_generator(everything.to(self._model.search_dtype)).float()
        pictures = pictures[(slice(None), slice(None), *place.seen.slices)]
        if not self._colour:
            pictures = pictures.mean(dim=1, keepdim=True).expand(-1, COLOURS, -1, -1)
        return pictures

    def distance(self, pictures: Tensor) -> Tensor:
        """Squared error (or what stands for it) in units of the rung's bit a pixel, ``(n,)``."""
        place = self._place
        return self._distortion(pictures, place.target) * (place.seen.area / self._control.price)

    def bits(self, latents: Tensor) -> Tensor:
        """Bits under the prior in floating point, ``(n,)``."""
        if self._control.active and self._iterations % LOOK_EVERY == 0:
            with torch.no_grad():
                self._control.heard(self.settled_bits(latents[0].detach(), USUAL_SLOPE)[1])
        self._iterations += 1
        self._tick()
        total = latents.new_zeros(latents.shape[0])
        for tile in self._place.tiles:
            part = latents[(slice(None), *tile.slices)]
            rate = self._rung.expand(len(part))
            total = total + self._model.search_prior.tile_bits(part, part, rate).sum((1, 2, 3))
        return total

    @torch.no_grad()
    def settled_bits(self, latents: Tensor, slope: float) -> tuple[Tensor, float]:
        """Lattice point ``(h, w, dim)`` of latents at a slope, and its bits."""
        prior = self._model.search_prior
        symbols = torch.empty_like(latents)
        total = 0.0
        for tile in self._place.tiles:
            z = latents[tile.slices][None]
            location, log_scale = prior.distributions(z.round(), self._rung)
            point = settle(z, location, log_scale, slope).clamp(-MAX_SYMBOL, MAX_SYMBOL)
            total += float(prior.tile_bits(point, point, self._rung).sum())
            symbols[tile.slices] = point[0]
        return symbols, total


def search_window(
    problem: WindowProblem,
    guess: Tensor,
    trade_off: float,
    quantizer: str,
    budget: Budget,
) -> Tensor:
    """Latents ``(h, w, dim)`` of a window, in lattice units, before they are put on the lattice."""
    if budget.iterations == 0:
        return guess
    found = LatentSearch(quantizer, budget)(problem, guess, trade_off)
    return guess + found.correction


def as_target(samples: NDArray[np.unsignedinteger], peak: int, colour: bool) -> Tensor:
    """Samples ``(h, w, planes)`` as the networks take them: ``(1, 3, h, w)`` in 0..1, no alpha."""
    colours = samples[:, :, : COLOURS if colour else 1].astype(np.float32) / peak
    planes = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))[None]
    return planes.expand(-1, COLOURS, -1, -1).contiguous()


@torch.no_grad()
def guess_latents(model: ImageModel, target: Tensor, outer: Box, inner: Box) -> Tensor:
    """E's latents ``(h, w, dim)`` of the positions ``inner``.

    Parameters
    ----------
    target
        Pixels of the positions ``outer``, ``(1, 3, h, w)``; where the picture ends before its
        last position does, its last pixels are repeated.
    """
    below = outer.height * STRIDE - target.shape[2]
    right = outer.width * STRIDE - target.shape[3]
    padded = F.pad(target, (0, right, 0, below), mode="replicate")
    return model.encoder(padded)[0][inner.within(outer).slices]
