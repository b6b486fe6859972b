"""Pictures as the encoder sees them: a header, and samples of any rectangle."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError
from streamcodec.image.header import PictureHeader
from streamcodec.image.tiles import Box

DEEP_PEAK = 65_535
"""Largest 16-bit sample: what 1.0 of a float picture becomes."""


class Picture(Protocol):
    """What can be encoded. Only rectangles of some tiles are ever asked for.

    Attributes
    ----------
    header : PictureHeader
    icc_profile, exif : bytes
        Kept as they are; empty if there is none.
    """

    header: PictureHeader
    icc_profile: bytes
    exif: bytes

    def read(self, box: Box) -> NDArray[np.unsignedinteger]:
        """Samples ``(h, w, planes)`` of a rectangle of pixels, of the header's type."""


class ArrayPicture:
    """A picture in memory.

    Parameters
    ----------
    pixels : ndarray
        ``(h, w)`` grey, ``(h, w, 2)`` grey and alpha, ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGB and
        alpha; uint8, uint16, or float in 0..1, which is taken as 16 bit.
    icc_profile, exif : bytes
        Kept as they are.

    Raises
    ------
    InputError
        The array is no picture, or has no pixels.
    """

    def __init__(
        self, pixels: NDArray[np.generic], *, icc_profile: bytes = b"", exif: bytes = b""
    ) -> None:
        pixels = np.asarray(pixels)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
            raise InputError(
                f"expected pixels (h, w), (h, w, 2), (h, w, 3) or (h, w, 4), found {pixels.shape}"
            )
        if pixels.size == 0:
            raise InputError(f"expected a picture with pixels, found {pixels.shape}")
        if pixels.dtype.kind != "f" and pixels.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"expected uint8, uint16 or float in 0..1, found {pixels.dtype}; convert the pixels"
            )
        planes = pixels.shape[2]
        self._pixels = pixels
        self.header = PictureHeader(
            width=pixels.shape[1],
            height=pixels.shape[0],
            colour=planes >= 3,
            alpha=planes in (2, 4),
            deep=pixels.dtype != np.uint8,
        )
        self.icc_profile = icc_profile
        self.exif = exif

    def read(self, box: Box) -> NDArray[np.unsignedinteger]:
        """Samples ``(h, w, planes)`` of a rectangle of pixels.

        Raises
        ------
        InputError
            Samples of a float picture are not in 0..1.
        """
        samples = self._pixels[box.slices]
        if samples.dtype.kind != "f":
            return cast("NDArray[np.unsignedinteger]", samples)
        if not (samples.min() >= 0.0 and samples.max() <= 1.0):  # NaN fails both
            raise InputError("expected float pixels in 0..1, found others; scale or clip them")
        return np.round(samples.astype(np.float64) * DEEP_PEAK).astype(np.uint16)
