"""A tile's symbols and the item that holds them.

The body of a tile is its number, a mask of the channels that are used where leaving out the
others is worth the mask, and the range-coded symbols. A channel that is left out costs neither
bits nor time to decode, which at low rates is most of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamcodec.core.container_layout import pack_varint, parse_varint
from streamcodec.core.grid import GridCoder, RatedGrid
from streamcodec.errors import CorruptPacketError
from streamcodec.image.items import Item, ItemType
from streamcodec.image.tiles import Box


def pack_numbered(kind: ItemType, number: int, data: bytes, rung: int = 0) -> Item:
    """An item that belongs to a tile."""
    return Item(kind, pack_varint(number) + data, rung)


def parse_numbered(item: Item, tiles: int) -> tuple[int, bytes]:
    """Number of the tile that an item belongs to, and the rest of its body.

    Raises
    ------
    CorruptPacketError
        The number is damaged.
    """
    parsed = parse_varint(item.body, 0)
    if parsed is None or parsed[0] >= tiles:
        raise CorruptPacketError(f"expected the number of one of {tiles} tiles; damaged file")
    return parsed[0], item.body[parsed[1] :]


def mask_bytes(channels: int) -> int:
    """Length of a mask of channels."""
    return -(-channels // 8)


def pack_tile(number: int, rated: RatedGrid, rung: int) -> Item:
    """The item of a tile whose symbols have been rated."""
    used = rated.used()
    saved = float(rated.bits()[:, :, ~used].sum())
    if saved <= 8 * mask_bytes(len(used)):
        return pack_numbered(ItemType.TILE, number, rated.encode(), rung)
    mask = np.packbits(used).tobytes()
    return pack_numbered(ItemType.MASKED_TILE, number, mask + rated.encode(used), rung)


def parse_tile(coder: GridCoder, item: Item, data: bytes, box: Box) -> NDArray[np.int32]:
    """Symbols ``(h, w, channels)`` of a tile.

    Parameters
    ----------
    item, data
        As :func:`parse_numbered` took and gave them.
    box
        Place of the tile.

    Raises
    ------
    CorruptPacketError
        The tile is damaged.
    """
    used = None
    if item.type == ItemType.MASKED_TILE:
        size = mask_bytes(coder.channels)
        bits = np.unpackbits(np.frombuffer(data[:size], np.uint8))
        if len(data) < size or bits[coder.channels :].any():
            raise CorruptPacketError("the mask of a tile's channels is damaged")
        used, data = bits[: coder.channels].astype(bool), data[size:]
    return coder.decode(data, box.height, box.width, item.rung, used)
