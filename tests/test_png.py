"""What is written row by row is what Pillow reads."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from streamcodec.errors import InputError
from streamcodec.png import MAX_SIDE, PngWriter


@pytest.mark.parametrize(("planes", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_pillow_reads_it(planes: int, mode: str, chunk: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 23, planes), np.uint8)
    file = io.BytesIO()
    with PngWriter(file, 23, 40, planes, icc_profile=b"profile", exif=b"Exif\0\0MM\0*") as writer:
        for row in range(0, 40, chunk):
            writer.write(pixels[row : row + chunk])
    image = Image.open(file)
    image.load()
    assert image.mode == mode
    assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)
    assert image.info["icc_profile"] == b"profile"
    assert image.info["exif"] == b"Exif\0\0MM\0*"


def test_sixteen_bits() -> None:
    grey = np.arange(6 * 7, dtype=np.uint16).reshape(6, 7, 1) * 1500
    file = io.BytesIO()
    with PngWriter(file, 7, 6, 1, deep=True) as writer:
        writer.write(grey)
    assert np.array_equal(np.asarray(Image.open(file)), grey[:, :, 0])
    colour = np.repeat(grey, 3, axis=2)
    file = io.BytesIO()
    with PngWriter(file, 7, 6, 3, deep=True) as writer:
        writer.write(colour)
    assert np.array_equal(np.asarray(Image.open(file)), colour >> 8)


def test_rows_are_counted() -> None:
    writer = PngWriter(io.BytesIO(), 5, 2, 3)
    writer.write(np.zeros((1, 5, 3), np.uint8))
    with pytest.raises(InputError, match="missing"):
        writer.finish()
    with pytest.raises(InputError, match="rows"):
        writer.write(np.zeros((2, 5, 3), np.uint8))
    with pytest.raises(InputError, match="rows"):
        writer.write(np.zeros((1, 4, 3), np.uint8))
    for width, planes in ((0, 3), (MAX_SIDE + 1, 3), (5, 5)):
        with pytest.raises(InputError, match="PNG holds no"):
            PngWriter(io.BytesIO(), width, 5, planes)
