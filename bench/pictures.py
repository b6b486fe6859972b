"""Pictures to measure on: 8-bit RGB arrays from a folder of image files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm"})
"""Files that are taken for pictures."""

Pixels = NDArray[np.uint8]
"""Shape (h, w, 3), RGB, 8 bits a sample."""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes
    ----------
    name : str
        Path below the folder.
    pixels : ndarray of uint8, shape (h, w, 3)
        RGB.
    """

    name: str
    pixels: Pixels

    @property
    def area(self) -> int:
        """Number of pixels, which bits are divided by."""
        return int(self.pixels.shape[0] * self.pixels.shape[1])

    @cached_property
    def identity(self) -> str:
        """Digest of size and pixels; the same picture has the same one in any file format."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.hexdigest()[:16]


def load_pictures(
    folder: Path, limit: int | None = None, short_side: int = 0, pattern: str = "*"
) -> list[Picture]:
    """Read all pictures below a folder, in the order of their paths.

    Parameters
    ----------
    folder : Path
        Searched with all folders below it.
    limit : int, optional
        Take so many, evenly spread.
    short_side : int
        Scale each picture so that its shorter side has this length (Lanczos); 0 leaves sizes.
    pattern : str
        Of the files' names.

    Raises
    ------
    ValueError
        If there is no picture, or ``limit`` is below 1.
    OSError
        If a picture cannot be read.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"the number of pictures must be at least 1, found {limit}")
    paths = sorted(p for p in folder.rglob(pattern) if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise ValueError(
            f"no pictures in {folder}: expected files with one of {', '.join(sorted(SUFFIXES))}"
        )
    if limit is not None and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    return [Picture(path.relative_to(folder).as_posix(), _read(path, short_side)) for path in paths]


def _read(path: Path, short_side: int) -> Pixels:
    with Image.open(path) as file:
        image = file.convert("RGB")
        if short_side and min(image.size) != short_side:
            scale = short_side / min(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            image = image.resize(size, Image.Resampling.LANCZOS)
        return np.asarray(image, np.uint8)
