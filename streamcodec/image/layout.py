"""The bytes of an image file, taken apart; no symbol is decoded here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from streamcodec.core.container import ContainerReader
from streamcodec.core.container_file import ContainerFile
from streamcodec.core.container_layout import iterate_records, parse_head
from streamcodec.core.packet import KIND_IMAGE, StreamHeader
from streamcodec.errors import CorruptPacketError, FormatError, TruncatedError
from streamcodec.image.header import PictureHeader, parse_profile
from streamcodec.image.items import Item, ItemType, read_items
from streamcodec.image.tile_coder import parse_numbered
from streamcodec.image.tiles import TileGrid

_TILES = (ItemType.TILE, ItemType.MASKED_TILE)


@dataclass
class ImageFile:
    """The parts of an image file.

    Attributes
    ----------
    stream : StreamHeader
        Model and tile side.
    picture : PictureHeader
    grid : TileGrid
    tiles : dict
        Item and coded symbols of each tile, by its number.
    alpha : dict
        Coded alpha of each tile, by its number.
    icc_profile, exif : bytes
        Empty if there is none.
    damaged : bool
        Something was left out; only where recovering was asked for.
    size : int
        Bytes of the file.
    lossless_bytes : int
        Bytes of alpha, ICC profile and EXIF.
    """

    stream: StreamHeader
    picture: PictureHeader
    grid: TileGrid
    size: int
    tiles: dict[int, tuple[Item, bytes]] = field(default_factory=dict)
    alpha: dict[int, bytes] = field(default_factory=dict)
    icc_profile: bytes = b""
    exif: bytes = b""
    damaged: bool = False
    lossless_bytes: int = 0

    @property
    def bpp(self) -> float:
        """Bits of the whole file a pixel."""
        return 8 * self.size / self.picture.pixels


def parse_image(data: bytes, *, recover: bool = False) -> ImageFile:
    """Take an image file apart.

    Nothing is allocated that the file does not hold; what it announces is compared with it.

    Parameters
    ----------
    data
        The whole file.
    recover
        Take what is left of a damaged file.

    Raises
    ------
    TruncatedError
        The file is not complete, and `recover` is not set; or not even its head is.
    FormatError
        It is no image file of ours, or damaged, and `recover` is not set; or its head is.
    """
    stream, _, begin = parse_head(data)
    if stream.kind != KIND_IMAGE:
        raise FormatError("expected a picture, found a stream of another kind (speech?)")
    if recover:
        items = read_items(_left_over(data, begin), recover=True)
    else:
        records, announced = _whole(data)
        items = read_items(records)
    first = next(items, None)
    if first is None or first.type != ItemType.PICTURE:
        raise FormatError("the file does not begin with the header of a picture; it is damaged")
    picture = PictureHeader.from_bytes(first.body)
    grid = TileGrid(picture.height, picture.width, stream.steps_per_packet)
    if not recover and announced != picture.pixels:
        raise FormatError(
            f"the end of the file announces {announced} pixels, its header {picture.pixels}"
        )
    parts = ImageFile(stream, picture, grid, len(data))
    for item in items:
        try:
            _take(parts, item)
        except CorruptPacketError:
            if not recover:
                raise
            parts.damaged = True
    wanted = len(grid)
    if len(parts.tiles) < wanted or len(parts.alpha) < wanted * picture.alpha:
        if not recover:
            raise FormatError(
                f"expected {wanted} tiles for {picture.width} x {picture.height} pixels, found "
                f"{len(parts.tiles)} and alpha of {len(parts.alpha)}; damaged file"
            )
        parts.damaged = True
    return parts


def _take(parts: ImageFile, item: Item) -> None:
    """Put an item where it belongs; every one may come once."""
    if item.type in _TILES:
        number, data = parse_numbered(item, len(parts.grid))
        taken = number in parts.tiles
        parts.tiles.setdefault(number, (item, data))
    elif item.type == ItemType.ALPHA and parts.picture.alpha:
        number, data = parse_numbered(item, len(parts.grid))
        taken = number in parts.alpha
        parts.alpha.setdefault(number, data)
        parts.lossless_bytes += len(item.body)
    elif item.type == ItemType.ICC_PROFILE:
        taken, parts.icc_profile = bool(parts.icc_profile), parse_profile(item.body)
        parts.lossless_bytes += len(item.body)
    elif item.type == ItemType.EXIF:
        taken, parts.exif = bool(parts.exif), parse_profile(item.body)
        parts.lossless_bytes += len(item.body)
    else:
        raise CorruptPacketError(f"an item of type {item.type.name} is out of place; damaged file")
    if taken:
        raise CorruptPacketError(f"an item of type {item.type.name} comes twice; damaged file")


def _whole(data: bytes) -> tuple[list[bytes], int]:
    """Records and number of pixels of a file that must be whole; every byte of it is checked."""
    reader = ContainerReader()
    records = reader.feed(data)
    return records, reader.finish().total_samples


def _left_over(data: bytes, begin: int) -> Iterator[bytes | None]:
    """Records of a file that may be damaged; where reading stumbles a seek point may help on."""
    try:
        points = [p.offset for p in ContainerFile(data).trailer.seek_points if p.offset > begin]
    except (TruncatedError, FormatError):
        points = []
    for start, end in pairwise([begin, *points, len(data)]):
        try:
            for record, behind in iterate_records(data, start):
                if behind > end:
                    break
                yield record
        except FormatError:
            pass
        yield None
