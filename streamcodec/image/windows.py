"""Windows: tiles that are searched together, and what lies around them.

A picture of up to ``MAX_WINDOW`` positions is searched in one piece, across all its tiles; a
larger one in windows of some tiles, from the top left to the bottom right. Around a window lie
latents that count but do not move: behind it what has been found, before it E's guess. The
distortion is measured a little beyond the window, where its latents still show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamcodec.image.model import ImageModel
from streamcodec.image.tiles import WHOLE, Box, TileGrid
from streamcodec.nn.image import COLOURS, STRIDE

MAX_WINDOW = WHOLE
"""Positions that are searched together at most, unless one tile has more: half a megapixel, for
which the generator's activations take some 150 MB."""

MARGIN = 4
"""Positions around a window that the generator sees. Its receptive field is larger, but what lies
further away hardly counts; the decoder uses all of it."""

SEEN = 2
"""Positions around a window in which distortion is measured."""


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
