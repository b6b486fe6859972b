"""A picture while it is encoded: what E makes of it, what was found, what lies around a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from streamcodec.image.model import ImageModel
from streamcodec.image.picture import Picture
from streamcodec.image.tiles import Box, TileGrid
from streamcodec.image.windows import (
    MARGIN,
    SEEN,
    Surroundings,
    Window,
    as_target,
    guess_latents,
    windows_of,
)
from streamcodec.nn.image import STRIDE


class Scene:
    """A picture, its tiles and windows, and the symbols found so far.

    Parameters
    ----------
    tile
        Positions along the side of a tile.

    Attributes
    ----------
    grid : TileGrid
    windows : list of Window
        In the order in which they are searched.
    """

    def __init__(self, picture: Picture, model: ImageModel, tile: int) -> None:
        self._picture, self._model = picture, model
        self.grid = TileGrid(picture.header.height, picture.header.width, tile)
        self.windows = windows_of(self.grid)
        self._found: dict[int, Tensor] = {}
        self._guessed: tuple[Box, Tensor] | None = None

    def guess(self, box: Box) -> Tensor:
        """E's latents ``(h, w, dim)`` of a rectangle of positions; the last are remembered."""
        if self._guessed is None or self._guessed[0] != box:
            outer = box.grown(self._model.encoder.halo, self.grid.bounds)
            pixels = self._target(outer.scaled(STRIDE).common(self.grid.pixels))
            self._guessed = box, guess_latents(self._model, pixels, outer, box)
        return self._guessed[1]

    def alpha(self, tile: int) -> NDArray[np.unsignedinteger]:
        """Samples ``(h, w)`` of a tile's last plane."""
        pixels = self.grid[tile].scaled(STRIDE).common(self.grid.pixels)
        return self._picture.read(pixels)[:, :, -1]

    def surroundings(self, window: Window, rung: int) -> Surroundings:
        """Gather what the search of a window needs, on a rung's lattice."""
        grid, gain = self.grid, self._model.gains[rung]
        around = window.box.grown(MARGIN, grid.bounds)
        inner = window.box.within(around)
        latents = self.guess(around) * gain
        guess = latents[inner.slices].clone()
        fixed = latents.round()
        for tile in grid.touching(around):
            if tile in self._found:
                shared = grid[tile].common(around)
                found = self._found[tile][shared.within(grid[tile]).slices]
                fixed[shared.within(around).slices] = found
        fixed = self._model.from_lattice(fixed, rung)
        fixed[inner.slices] = 0.0
        seen = window.box.grown(SEEN, grid.bounds).scaled(STRIDE).common(grid.pixels)
        return Surroundings(
            window=window,
            tiles=[grid[t].within(window.box) for t in window.tiles],
            inner=inner,
            guess=guess,
            fixed=fixed,
            seen=seen.within(around.scaled(STRIDE)),
            target=self._target(seen),
        )

    def keep(self, place: Surroundings, symbols: Tensor) -> None:
        """Take a window's symbols ``(h, w, dim)`` for what windows to come have in their margin.

        Tiles that none of those can touch are forgotten.
        """
        window = place.window
        for tile, box in zip(window.tiles, place.tiles, strict=True):
            self._found[tile] = symbols[box.slices]
        row = window.tiles[0] // self.grid.columns
        for tile in [t for t in self._found if t // self.grid.columns < row - 1]:
            del self._found[tile]

    def _target(self, pixels: Box) -> Tensor:
        header = self._picture.header
        return as_target(self._picture.read(pixels), header.peak, header.colour)
