"""Writing PNG row by row: 8 or 16 bits, grey or RGB, with or without alpha.

Pillow writes no 16-bit RGB and wants the whole picture in memory; this writer wants some rows at
a time. Format: W3C Recommendation *Portable Network Graphics (PNG) Specification (Second
Edition)*; the ``eXIf`` chunk is of the third edition.
"""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = (1 << 31) - 1
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Colour type of each number of planes."""

UP = 2
"""Number of the filter that is used: each row as its difference to the one above."""

LEVEL = 4
"""Deflate level: pictures of noise hardly get smaller with more."""


class PngWriter:
    """Writes one PNG file; a context manager that ends the file when all went well.

    Parameters
    ----------
    file
        Open for writing.
    width, height : int
        Pixels.
    planes : int
        1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    deep : bool
        16 bits a sample instead of 8.
    icc_profile, exif : bytes
        Stored as they are; empty if there is none.

    Raises
    ------
    InputError
        The picture is of no size or kind that PNG has.
    """

    def __init__(
        self,
        file: BinaryIO,
        width: int,
        height: int,
        planes: int,
        *,
        deep: bool = False,
        icc_profile: bytes = b"",
        exif: bytes = b"",
    ) -> None:
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and planes in COLOUR_TYPES):
            raise InputError(f"PNG holds no picture of {width} x {height} pixels, {planes} planes")
        self._file = file
        self._left = height
        self._stored = np.dtype(">u2" if deep else "u1")
        self._above = np.zeros(width * planes * self._stored.itemsize, np.uint8)
        self._deflater = zlib.compressobj(LEVEL)
        file.write(SIGNATURE)
        depth = 8 * self._stored.itemsize
        self._chunk(b"IHDR", struct.pack(">IIBB3x", width, height, depth, COLOUR_TYPES[planes]))
        if icc_profile:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
        if exif:
            # Pillow hands EXIF over as JPEG files have it, behind this mark.
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))

    def write(self, rows: NDArray[np.unsignedinteger]) -> None:
        """Append some rows ``(n, width, planes)``.

        Raises
        ------
        InputError
            They are more than the height, or not as wide as the picture.
        """
        data = np.ascontiguousarray(rows, self._stored).view(np.uint8).reshape(len(rows), -1)
        if len(data) > self._left or data.shape[1] != len(self._above):
            raise InputError(f"expected {self._left} rows of the picture's width, found others")
        filtered = np.empty((len(data), 1 + data.shape[1]), np.uint8)
        filtered[:, 0] = UP
        filtered[:, 1:] = data
        filtered[1:, 1:] -= data[:-1]
        filtered[0, 1:] -= self._above
        self._above = data[-1].copy()
        self._left -= len(data)
        self._chunk(b"IDAT", self._deflater.compress(filtered.tobytes()))

    def finish(self) -> None:
        """End the file.

        Raises
        ------
        InputError
            Rows are missing.
        """
        if self._left:
            raise InputError(f"{self._left} rows of the picture are missing")
        self._chunk(b"IDAT", self._deflater.flush())
        self._chunk(b"IEND", b"")

    def __enter__(self) -> PngWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()

    def _chunk(self, name: bytes, data: bytes) -> None:
        if data or name == b"IEND":
            body = name + data
            self._file.write(struct.pack(">I", len(data)) + body)
            self._file.write(struct.pack(">I", zlib.crc32(body)))
