"""Symbols of an image file's tiles as latents, decoded when they are needed."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from streamcodec.errors import CorruptPacketError
from streamcodec.image.layout import ImageFile
from streamcodec.image.model import ImageModel
from streamcodec.image.tile_coder import parse_tile
from streamcodec.image.tiles import Box

MAX_CACHED = 1 << 18
"""Latent positions whose symbols are kept for the windows to come (64 MB with 128 channels)."""


class TileCache:
    """Decodes tiles, and keeps some for the next time.

    Parameters
    ----------
    file
        Whose tiles.
    model
        Made them.
    recover
        Take zeros for a tile that is lost or damaged.
    lost
        Told the numbers of those.
    """

    def __init__(
        self, file: ImageFile, model: ImageModel, lost: set[int], *, recover: bool
    ) -> None:
        self._file, self._model, self._recover = file, model, recover
        self._lost = lost
        self._tiles: OrderedDict[int, Tensor] = OrderedDict()

    @property
    def held(self) -> list[int]:
        """Numbers of the tiles whose symbols are kept, ascending."""
        return sorted(self._tiles)

    def latents(self, box: Box) -> Tensor:
        """Latents ``(h, w, dim)`` of a rectangle of positions.

        Raises
        ------
        CorruptPacketError
            A tile is damaged, and there is no recovering.
        """
        numbers = self._file.grid.touching(box)
        self._decode([n for n in numbers if n not in self._tiles])
        latents = torch.zeros(box.height, box.width, self._model.latent_dim)
        for number in numbers:
            tile = self._file.grid[number]
            shared = tile.common(box)
            symbols = self._tiles[number][shared.within(tile).slices].float()
            item = self._file.tiles.get(number)
            if item is not None and number not in self._lost:
                latents[shared.within(box).slices] = self._model.from_lattice(symbols, item[0].rung)
            self._tiles.move_to_end(number)
        self._forget(set(numbers))
        return latents

    def forget_above(self, y: int) -> None:
        """Drop the symbols of tiles that end above a row of positions."""
        for number in [n for n in self._tiles if self._file.grid[n].y1 <= y]:
            del self._tiles[number]

    def _decode(self, numbers: list[int]) -> None:
        """Take tiles in, several at a time."""
        threads = min(torch.get_num_threads(), len(numbers))
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(self._symbols, numbers))
        else:
            found = [self._symbols(n) for n in numbers]
        self._tiles.update(zip(numbers, found, strict=True))

    def _symbols(self, number: int) -> Tensor:
        """Symbols of a tile, int16; zeros if it is lost."""
        tile = self._file.grid[number]
        try:
            if number in self._file.tiles:
                item, data = self._file.tiles[number]
                symbols = parse_tile(self._model.coder, item, data, tile)
                return torch.from_numpy(symbols.astype(np.int16))
        except CorruptPacketError:
            if not self._recover:
                raise
        self._lost.add(number)
        return torch.zeros(tile.height, tile.width, self._model.latent_dim, dtype=torch.int16)

    def _forget(self, needed: set[int]) -> None:
        """Drop the symbols that were not used for longest, but none of those just used."""
        held = sum(t.shape[0] * t.shape[1] for t in self._tiles.values())
        for number in list(self._tiles):
            if held <= MAX_CACHED or number in needed:
                return
            dropped = self._tiles.pop(number)
            held -= dropped.shape[0] * dropped.shape[1]
