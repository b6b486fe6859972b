"""Tiles cover a picture once, without slivers."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.image.tiles import (
    DEFAULT_TILE,
    LARGEST_SIDE,
    Box,
    TileGrid,
    default_side,
    divided,
)
from streamcodec.image.windows import MAX_WINDOW, windows_of


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(1, 1, 32), (512, 768, 32), (513, 769, 32), (1, 10_000, 32), (530, 17, 8), (160, 160, 1)],
)
def test_tiles_and_windows_cover_every_position_once(height: int, width: int, side: int) -> None:
    grid = TileGrid(height, width, side)
    count = np.zeros((grid.bounds.height, grid.bounds.width), int)
    sides = []
    for tile in grid:
        count[tile.slices] += 1
        assert 1 <= tile.height <= side
        assert 1 <= tile.width <= side
        sides.append((tile.height, tile.width))
    assert (count == 1).all()
    assert np.ptp([s[0] for s in sides]) <= 1
    assert np.ptp([s[1] for s in sides]) <= 1
    for window in windows_of(grid):
        count[window.box.slices] += 1
        assert window.box.area <= max(MAX_WINDOW, side * side)
        assert sum(grid[t].area for t in window.tiles) == window.box.area
    assert (count == 2).all()


def test_a_picture_of_one_position_more_has_two_halves() -> None:
    grid = TileGrid(16, 33 * 16, 32)
    assert [t.width for t in grid] == [16, 17]


@pytest.mark.parametrize(
    ("height", "width", "tiles"),
    [
        (1, 1, 1),
        (512, 768, 1),
        (768, 512, 1),
        (512, 1024, 1),
        (512, 1025, 3),
        (16, 16 * LARGEST_SIDE, 1),
        (1, 10_000, 20),
        (3000, 4000, 48),
    ],
)
def test_small_pictures_are_one_tile(height: int, width: int, tiles: int) -> None:
    side = default_side(height, width)
    assert len(TileGrid(height, width, side)) == tiles
    assert tiles == 1 or side == DEFAULT_TILE


def test_touching_is_what_shares_a_position() -> None:
    grid = TileGrid(400, 700, 8)
    rng = np.random.default_rng(4)
    for _ in range(50):
        y0, y1 = sorted(rng.integers(0, grid.bounds.height + 1, 2))
        x0, x1 = sorted(rng.integers(0, grid.bounds.width + 1, 2))
        box = Box(int(y0), int(y1), int(x0), int(x1))
        assert grid.touching(box) == [k for k, t in enumerate(grid) if t.common(box).area]


def test_boxes() -> None:
    box = Box(2, 5, 3, 9)
    assert (box.height, box.width, box.area) == (3, 6, 18)
    assert box.grown(2, Box(0, 6, 2, 10)) == Box(0, 6, 2, 10)
    assert box.within(Box(1, 9, 1, 9)) == Box(1, 4, 2, 8)
    assert box.scaled(16).reduced(16) == box
    assert Box(1, 17, 0, 1).reduced(16) == Box(0, 2, 0, 1)
    assert box.common(Box(7, 9, 0, 1)).area == 0
    assert sum(b.area for b in divided(Box(3, 20, 1, 30), 6)) == 17 * 29
