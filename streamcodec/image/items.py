"""Items: what the records of an image file hold, one after the other.

An item is longer than a packet may be, so it travels in one or more: the first has the refresh
bit, those that continue it do not, and they are numbered from 0. Every item is decodable by
itself, carries a check of its own beside that of each packet, and says what it is; so whatever a
damaged file still holds can be used. The bitstream document defines the layout.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from streamcodec.core.container_layout import pack_varint
from streamcodec.core.packet import MAX_PAYLOAD, RATES, SEQUENCE_MODULUS, Packet, parse_packet
from streamcodec.errors import CorruptPacketError, FormatError, InputError

CHECK_BYTES = 2
ITEM_PREFIX = 1 + CHECK_BYTES
"""Type and part of the rung, and check."""

TYPE_BITS = 4
"""Of an item's first byte, the lower ones; those above extend the rate of its packets."""

MAX_RUNGS = RATES << (8 - TYPE_BITS)
"""Rungs that can be told."""

MAX_PACKETS = 1024
"""Packets of the longest item: 64 MiB, above what the dearest tile can take."""


class ItemType(IntEnum):
    """What an item is."""

    PICTURE = 1
    """Size and kind of the picture; the first item."""
    TILE = 2
    """Symbols of a tile, all channels."""
    MASKED_TILE = 3
    """Symbols of a tile, preceded by a mask of the channels that are used."""
    ALPHA = 4
    """Alpha of a tile."""
    ICC_PROFILE = 5
    EXIF = 6


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes
    ----------
    type : ItemType
    body : bytes
    rung : int
        Rung of the rate ladder of a tile, 0 for all others.
    """

    type: ItemType
    body: bytes
    rung: int = 0


def _check(data: bytes) -> bytes:
    """The low half of CRC-32."""
    return zlib.crc32(data).to_bytes(4, "big")[-CHECK_BYTES:]


def pack_item(item: Item) -> list[Packet]:
    """The packets that an item travels in.

    Raises
    ------
    InputError
        The item is longer than any may be.
    """
    above, rate = divmod(item.rung, RATES)
    head = bytes([above << TYPE_BITS | item.type])
    content = head + _check(head + item.body) + item.body
    if len(content) > MAX_PACKETS * MAX_PAYLOAD:
        raise InputError(
            f"expected at most {MAX_PACKETS * MAX_PAYLOAD} bytes of {item.type.name}, found "
            f"{len(content)}"
        )
    return [
        Packet.build(
            content[begin : begin + MAX_PAYLOAD],
            rate=rate,
            refresh=begin == 0,
            sequence=begin // MAX_PAYLOAD,
        )
        for begin in range(0, len(content), MAX_PAYLOAD)
    ]


def wire_bytes(items: Iterable[Item]) -> int:
    """What items add to a file."""
    total = 0
    for item in items:
        size = sum(len(p) + len(pack_varint(len(p))) for p in pack_item(item))
        # Its seek point tells one packet more and so many bytes more than the one before.
        total += size + 1 + len(pack_varint(size))
    return total


def parse_item(content: bytes, rate: int) -> Item:
    """Read an item from the payloads of its packets, which have this rate.

    Raises
    ------
    CorruptPacketError
        Its check does not match, or it is of no known type.
    """
    head, check, body = content[:1], content[1:ITEM_PREFIX], content[ITEM_PREFIX:]
    if len(content) < ITEM_PREFIX or _check(head + body) != check:
        raise CorruptPacketError("an item of the file does not match its check; it is damaged")
    above, kind = divmod(head[0], 1 << TYPE_BITS)
    try:
        return Item(ItemType(kind), body, RATES * above + rate)
    except ValueError as error:
        raise CorruptPacketError(f"an item is of type {kind}, which there is not") from error


def read_items(records: Iterable[bytes | None], *, recover: bool = False) -> Iterator[Item]:
    """Put packets together to items.

    Parameters
    ----------
    records
        Packets; None where some are lost.
    recover
        Leave out items that are damaged instead of raising.

    Raises
    ------
    FormatError
        A packet or item is damaged, or out of place.
    """
    parts: list[bytes] = []
    rate = 0
    for record in records:
        packet = _packet(record, recover)
        if parts and (packet is None or packet.refresh):
            yield from _finished(parts, rate, recover)
        if packet is None:
            parts = []
        elif packet.refresh and packet.sequence == 0:
            parts, rate = [packet.payload], packet.rate
        elif _continues(packet, parts, rate):
            parts.append(packet.payload)
        elif recover:
            # What came before it may be whole all the same.
            yield from _finished(parts, rate, recover)
            parts = []
        else:
            raise CorruptPacketError("a packet continues no item; the file is damaged")
    if parts:
        yield from _finished(parts, rate, recover)


def _continues(packet: Packet, parts: list[bytes], rate: int) -> bool:
    return (
        0 < len(parts) < MAX_PACKETS
        and not packet.refresh
        and packet.rate == rate
        and packet.sequence == len(parts) % SEQUENCE_MODULUS
        and len(parts[-1]) == MAX_PAYLOAD
    )


def _packet(record: bytes | None, recover: bool) -> Packet | None:
    if record is None:
        return None
    try:
        return parse_packet(record)
    except FormatError:
        if recover:
            return None
        raise


def _finished(parts: list[bytes], rate: int, recover: bool) -> Iterator[Item]:
    try:
        yield parse_item(b"".join(parts), rate)
    except CorruptPacketError:
        if not recover:
            raise
