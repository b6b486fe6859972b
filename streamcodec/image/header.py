"""What an image file says about its picture, and the lossless parts beside the symbols."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamcodec.core.container_layout import pack_varint, parse_varint
from streamcodec.errors import CorruptPacketError, FormatError, InputError

MAX_SIDE = (1 << 31) - 1
"""Largest width or height, pixels: products of two fit 64 bits with a sign."""

MAX_PROFILE = 1 << 24
"""Bytes of the largest ICC profile or EXIF block that is kept."""

COLOUR_BIT, ALPHA_BIT, DEEP_BIT = 1, 2, 4
_KNOWN_BITS = COLOUR_BIT | ALPHA_BIT | DEEP_BIT

COMPRESSION = 9
"""Deflate level; these parts are small and compressed once."""

HORIZONTAL, VERTICAL = 1, 2
"""Bits of an alpha plane's first byte: which neighbours its values are differences to."""


@dataclass(frozen=True)
class PictureHeader:
    """Size and kind of a picture.

    Attributes
    ----------
    width, height : int
        Pixels, at least 1.
    colour : bool
        Three colours instead of grey.
    alpha : bool
        There is an alpha plane, kept losslessly.
    deep : bool
        16 bits a sample instead of 8.
    """

    width: int
    height: int
    colour: bool = True
    alpha: bool = False
    deep: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise InputError(
                f"expected a picture of 1..{MAX_SIDE} pixels a side, found {self.width} x "
                f"{self.height}"
            )

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of the decoded samples."""
        return np.uint16 if self.deep else np.uint8

    @property
    def peak(self) -> int:
        """Largest sample."""
        return int(np.iinfo(self.dtype).max)

    @property
    def planes(self) -> int:
        """Colours and alpha."""
        return (3 if self.colour else 1) + self.alpha

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    def to_bytes(self) -> bytes:
        """As the file's first item holds it."""
        bits = COLOUR_BIT * self.colour | ALPHA_BIT * self.alpha | DEEP_BIT * self.deep
        return pack_varint(self.width) + pack_varint(self.height) + bytes([bits])

    @classmethod
    def from_bytes(cls, data: bytes) -> PictureHeader:
        """Read what :meth:`to_bytes` made.

        Raises
        ------
        FormatError
            It is damaged.
        """
        width = parse_varint(data, 0)
        height = parse_varint(data, width[1]) if width else None
        if width is None or height is None or len(data) != height[1] + 1:
            raise FormatError("the picture's header has not the length it should; damaged file")
        bits = data[-1]
        if bits & ~_KNOWN_BITS:
            raise FormatError(f"the picture is of a kind that there is not ({bits:#04x})")
        try:
            return cls(
                width[0], height[0], bool(bits & COLOUR_BIT), bool(bits & ALPHA_BIT),
                bool(bits & DEEP_BIT),
            )  # fmt: skip
        except InputError as error:
            raise FormatError(f"the picture's header is damaged: {error}") from error


def pack_profile(data: bytes) -> bytes:
    """Deflate an ICC profile or EXIF block.

    Raises
    ------
    InputError
        It is larger than any that is kept.
    """
    if len(data) > MAX_PROFILE:
        raise InputError(f"expected a profile of <= {MAX_PROFILE} bytes, found {len(data)}")
    return zlib.compress(data, COMPRESSION)


def parse_profile(body: bytes) -> bytes:
    """Inflate what :func:`pack_profile` made, never to more than ``MAX_PROFILE``.

    Raises
    ------
    CorruptPacketError
        It is damaged.
    """
    return _inflated(body, MAX_PROFILE)


def pack_alpha(plane: NDArray[np.unsignedinteger]) -> bytes:
    """Compress the alpha ``(h, w)`` of a tile, losslessly: differences, then deflate.

    Of the four ways to take differences the one that comes out shortest is used.
    """
    ways = []
    for kind in (0, HORIZONTAL, VERTICAL, HORIZONTAL | VERTICAL):
        values = plane
        if kind & HORIZONTAL:
            values = np.diff(values, axis=1, prepend=values.dtype.type(0))
        if kind & VERTICAL:
            values = np.diff(values, axis=0, prepend=values.dtype.type(0))
        data = values.astype(values.dtype.newbyteorder(">")).tobytes()
        ways.append(bytes([kind]) + zlib.compress(data, COMPRESSION))
    return min(ways, key=len)


def parse_alpha(
    body: bytes, height: int, width: int, dtype: type[np.uint8] | type[np.uint16]
) -> NDArray[np.unsignedinteger]:
    """Read what :func:`pack_alpha` made; nothing larger than the tile is ever allocated.

    Raises
    ------
    CorruptPacketError
        It is damaged.
    """
    stored = np.dtype(dtype).newbyteorder(">")
    size = height * width * stored.itemsize
    if not body or body[0] & ~(HORIZONTAL | VERTICAL):
        raise CorruptPacketError("the alpha of a tile is of a kind that there is not")
    data = _inflated(body[1:], size)
    if len(data) != size:
        raise CorruptPacketError(
            f"expected {size} bytes of alpha for a tile of {height} x {width} pixels, found "
            f"{len(data)}"
        )
    values: NDArray[np.unsignedinteger]
    values = np.frombuffer(data, stored).reshape(height, width).astype(dtype)
    if body[0] & VERTICAL:
        values = np.cumsum(values, axis=0, dtype=dtype)
    if body[0] & HORIZONTAL:
        values = np.cumsum(values, axis=1, dtype=dtype)
    return values


def _inflated(data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, limit)
    except zlib.error as error:
        raise CorruptPacketError(f"a deflated part of the file is damaged: {error}") from error
    # At the limit the end mark may still be unread; one more byte of output would be too much.
    if not inflater.eof and (
        len(inflated) < limit or inflater.decompress(inflater.unconsumed_tail, 1)
    ):
        raise CorruptPacketError("a deflated part of the file is longer than it may be, or cut off")
    if not inflater.eof or inflater.unused_data:
        raise CorruptPacketError("a deflated part of the file is not one stream; it is damaged")
    return inflated
