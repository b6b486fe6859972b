"""What codecs make of some pictures, side by side: one row a picture, one column a codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.pictures import Pixels

GAP = 4
"""Pixels between crops."""

HEADING = 46
"""Pixels above the first row: two lines of a heading."""

LETTERS = 15
"""Size of the headings."""


def middle(pixels: Pixels, side: int) -> Pixels:
    """The middle of a picture, at most ``side`` pixels a side."""
    height, width = pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return pixels[top : top + side, left : left + side]


def draw_strips(columns: Mapping[str, Sequence[Pixels]], path: Path) -> None:
    """Write crops ``(h, w, 3)`` into a PNG file, columns by their headings.

    Raises
    ------
    ValueError
        Columns differ in length, or there are none.
    """
    counts = {len(crops) for crops in columns.values()}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"expected columns of one length, found lengths {sorted(counts)}")
    rows = counts.pop()
    height = max(c.shape[0] for crops in columns.values() for c in crops)
    width = max(c.shape[1] for crops in columns.values() for c in crops)
    shape = (HEADING + rows * (height + GAP), len(columns) * (width + GAP) - GAP, 3)
    canvas = np.full(shape, 255, np.uint8)
    for column, crops in enumerate(columns.values()):
        for row, crop in enumerate(crops):
            y, x = HEADING + row * (height + GAP), column * (width + GAP)
            canvas[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    image = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(LETTERS)
    for column, heading in enumerate(columns):
        lines = _broken(heading, lambda text: pen.textlength(text, font) <= width - 4)
        pen.text((column * (width + GAP) + 2, 4), lines, fill=(0, 0, 0), font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def _broken(heading: str, fits: Callable[[str], bool]) -> str:
    """A heading in lines that fit, broken behind colons."""
    lines = [""]
    for part in heading.replace(":", ":\n").split("\n"):
        if lines[-1] and not fits(lines[-1] + part):
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
