"""Where things lie: rectangles, and the grid of tiles.

All rectangles are in latent positions, each of which stands for 16 x 16 pixels, unless a name
says pixels. A picture is divided into as few tiles as its tile side allows, and these are made as
equal as possible: a picture one position wider than a tile has two tiles of half the width, not a
sliver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streamcodec.nn.image import STRIDE

DEFAULT_TILE = 32
"""Latent positions along the side of a tile: 512 pixels."""

WHOLE = 2048
"""Positions of a picture that is one tile at most, half a megapixel: symbols have no neighbours
across a tile's border, and two tiles in place of one cost held-out pictures of 768 x 512 one to two
percent of their bits at low rates."""

LARGEST_SIDE = 255
"""Positions along the side of the largest tile, one byte of the stream header."""


@dataclass(frozen=True)
class Box:
    """A rectangle: rows ``y0..y1 - 1`` and columns ``x0..x1 - 1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def area(self) -> int:
        """Rows times columns."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the rectangle out of an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, margin: int, bounds: Box) -> Box:
        """The rectangle with a margin on all sides, inside ``bounds``."""
        return Box(
            max(self.y0 - margin, bounds.y0),
            min(self.y1 + margin, bounds.y1),
            max(self.x0 - margin, bounds.x0),
            min(self.x1 + margin, bounds.x1),
        )

    def common(self, other: Box) -> Box:
        """The part that lies in both; of no area where there is none."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        return Box(y0, max(y0, min(self.y1, other.y1)), x0, max(x0, min(self.x1, other.x1)))

    def within(self, outer: Box) -> Box:
        """The same rectangle, told from the corner of ``outer``."""
        return Box(self.y0 - outer.y0, self.y1 - outer.y0, self.x0 - outer.x0, self.x1 - outer.x0)

    def scaled(self, factor: int) -> Box:
        """Positions to pixels."""
        return Box(self.y0 * factor, self.y1 * factor, self.x0 * factor, self.x1 * factor)

    def reduced(self, factor: int) -> Box:
        """Pixels to the positions that hold them."""
        return Box(
            self.y0 // factor, -(-self.y1 // factor), self.x0 // factor, -(-self.x1 // factor)
        )


def divided(box: Box, side: int) -> list[Box]:
    """As few boxes as cover ``box`` with at most ``side`` a side, as equal as possible."""
    rows, columns = -(-box.height // side), -(-box.width // side)
    return [
        Box(
            box.y0 + r * box.height // rows,
            box.y0 + (r + 1) * box.height // rows,
            box.x0 + c * box.width // columns,
            box.x0 + (c + 1) * box.width // columns,
        )
        for r in range(rows)
        for c in range(columns)
    ]


def default_side(height: int, width: int) -> int:
    """Positions along the side of a tile where nobody asks for any, for a picture in pixels."""
    bounds = Box(0, height, 0, width).reduced(STRIDE)
    longest = max(bounds.height, bounds.width)
    return longest if bounds.area <= WHOLE and longest <= LARGEST_SIDE else DEFAULT_TILE


class TileGrid:
    """The tiles of a picture, in raster order.

    Parameters
    ----------
    height, width : int
        Of the picture, pixels, at least 1.
    side : int
        Latent positions along the side of the largest tile.
    """

    def __init__(self, height: int, width: int, side: int = DEFAULT_TILE) -> None:
        self.pixels = Box(0, height, 0, width)
        self.bounds = self.pixels.reduced(STRIDE)
        """All positions of the picture."""
        self.rows = -(-self.bounds.height // side)
        self.columns = -(-self.bounds.width // side)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __getitem__(self, index: int) -> Box:
        """Place of a tile: row ``i`` of ``n`` begins at ``i * height // n``; columns likewise."""
        row, column = divmod(index, self.columns)
        height, width = self.bounds.height, self.bounds.width
        return Box(
            row * height // self.rows,
            (row + 1) * height // self.rows,
            column * width // self.columns,
            (column + 1) * width // self.columns,
        )

    def __iter__(self) -> Iterator[Box]:
        return (self[k] for k in range(len(self)))

    def touching(self, box: Box) -> list[int]:
        """Numbers of the tiles that share a position with ``box``, ascending."""
        box = box.common(self.bounds)
        if not box.area:
            return []
        rows = [_part(y, self.bounds.height, self.rows) for y in (box.y0, box.y1 - 1)]
        columns = [_part(x, self.bounds.width, self.columns) for x in (box.x0, box.x1 - 1)]
        return [
            row * self.columns + column
            for row in range(rows[0], rows[1] + 1)
            for column in range(columns[0], columns[1] + 1)
        ]


def _part(place: int, length: int, parts: int) -> int:
    """Which of ``parts`` holds a place, part ``k`` beginning at ``k * length // parts``."""
    part = place * parts // length
    return part + (place >= (part + 1) * length // parts)
