"""Training photos: a folder of pictures in, random crops out.

A folder may have a ``manifest.csv`` with the columns ``file`` and ``split`` (``train`` or
``val``); without one, one picture in thirty is held out, by a hash of its name. Every picture is
decoded once into an 8-bit array in a cache folder and then read through a memory map.
"""

from __future__ import annotations

import csv
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp"}
HELD_OUT_ONE_IN = 30
"""About one picture in thirty of a folder without a manifest is never trained on."""


class PhotoCorpus:
    """Decoded pictures, some of them held out.

    Raises
    ------
    FileNotFoundError
        If the folder holds no pictures.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        manifest = folder / "manifest.csv"
        if manifest.exists():
            with manifest.open(newline="") as lines:
                listed = [
                    (folder / r["file"], r["split"] != "train") for r in csv.DictReader(lines)
                ]
        else:
            files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
            listed = [(p, zlib.crc32(p.name.encode()) % HELD_OUT_ONE_IN == 0) for p in files]
        if not listed:
            raise FileNotFoundError(f"no manifest.csv and no pictures in {folder}")
        self.train = [decoded(p, cache) for p, held_out in listed if not held_out]
        self.held_out = [decoded(p, cache) for p, held_out in listed if held_out]

    def megapixels(self) -> float:
        """Pixels to train on, in millions."""
        return sum(p.shape[0] * p.shape[1] for p in self.train) / 1e6

    def crops(
        self, side: int, batch: int, rng: np.random.Generator, *, held_out: bool = False
    ) -> Iterator[np.ndarray]:
        """Yield ``(batch, 3, side, side)`` float32 crops in 0..1 for ever, mirrored at random.

        A picture is drawn in proportion to its area; those smaller than a crop are left out.
        """
        pool = [p for p in (self.held_out if held_out else self.train) if min(p.shape[:2]) >= side]
        if not pool:
            raise FileNotFoundError(f"no picture has {side} x {side} pixels")
        mass = np.cumsum([p.shape[0] * p.shape[1] for p in pool], dtype=np.float64)
        while True:
            picks = np.searchsorted(mass, rng.random(batch) * mass[-1])
            yield np.stack([_crop(pool[min(i, len(pool) - 1)], side, rng) for i in picks])


def _crop(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    y, x = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
    crop = picture[y : y + side, x : x + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32) / 255.0


def decoded(path: Path, cache: Path) -> np.ndarray:
    """The pixels of a file, 8-bit RGB ``(h, w, 3)``, through a cached memory map."""
    cache.mkdir(parents=True, exist_ok=True)
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()
    target = cache / f"{path.stem}-{key[:12]}.npy"
    if not target.exists():
        from PIL import Image

        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        part = target.with_suffix(".part.npy")
        np.save(part, pixels)
        part.replace(target)
    return np.load(target, mmap_mode="r")
