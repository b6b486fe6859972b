"""Items travel in packets; whatever is whole comes back, whatever is not is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.core.packet import MAX_PAYLOAD, Packet
from streamcodec.errors import CorruptPacketError, FormatError, InputError
from streamcodec.image import items
from streamcodec.image.items import Item, ItemType, pack_item, parse_item, read_items

LONG = bytes(range(256)) * 1024
ITEMS = [
    Item(ItemType.PICTURE, b"header"),
    Item(ItemType.TILE, LONG, 5),
    Item(ItemType.ALPHA, b""),
    Item(ItemType.TILE, LONG[: MAX_PAYLOAD - items.ITEM_PREFIX], 2),
    Item(ItemType.MASKED_TILE, LONG[:9], 13),
    Item(ItemType.TILE, LONG[:9], items.MAX_RUNGS - 1),
]


def packets() -> list[bytes | None]:
    return [bytes(p) for item in ITEMS for p in pack_item(item)]


def test_items_come_back() -> None:
    assert list(read_items(packets())) == ITEMS
    assert [len(pack_item(item)) for item in ITEMS] == [1, 5, 1, 1, 1, 1]


def test_a_rung_literally() -> None:
    """As the document has it: its eighths beside the type, what is left in the packet."""
    (packet,) = pack_item(Item(ItemType.MASKED_TILE, b"", 13))
    assert packet.payload[0] == 0x13
    assert packet.rate == 5
    with pytest.raises(ValueError, match="256"):
        pack_item(Item(ItemType.TILE, b"", items.MAX_RUNGS))


def test_every_lost_packet_costs_its_item_alone() -> None:
    owners = [k for k, item in enumerate(ITEMS) for _ in pack_item(item)]
    for lost, owner in enumerate(owners):
        left = packets()
        left[lost] = None
        expected = [item for k, item in enumerate(ITEMS) if k != owner]
        assert list(read_items(left, recover=True)) == expected
        del left[lost]
        assert list(read_items(left, recover=True)) == expected


def test_damage_is_named() -> None:
    damaged = packets()
    damaged[2] = bytes(damaged[2] or b"")[:-1] + b"?"
    with pytest.raises(FormatError, match="check"):
        list(read_items(damaged))
    assert list(read_items(damaged, recover=True)) == [ITEMS[0], *ITEMS[2:]]
    swapped = packets()
    swapped[2], swapped[3] = swapped[3], swapped[2]
    with pytest.raises(CorruptPacketError, match="continues"):
        list(read_items(swapped))
    with pytest.raises(CorruptPacketError, match="continues"):
        list(read_items(packets()[2:]))
    with pytest.raises(CorruptPacketError, match="match its check"):
        parse_item(b"", 0)
    unknown = Packet.build(bytes([9]) + items._check(bytes([9])), rate=0, refresh=True, sequence=0)
    with pytest.raises(CorruptPacketError, match="type 9"):
        list(read_items([bytes(unknown)]))


def test_an_item_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = packets()
    monkeypatch.setattr(items, "MAX_PACKETS", 3)
    with pytest.raises(InputError, match="at most"):
        pack_item(ITEMS[1])
    with pytest.raises(CorruptPacketError, match="continues"):
        list(read_items(longest))


def test_any_packets_are_safe() -> None:
    seed = 17
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for _ in range(30):
        shuffled: list[bytes | None] = []
        for packet in packets():
            data = bytearray(packet or b"")
            if rng.random() < 0.2:
                data[rng.integers(min(8, len(data)))] ^= 1 << rng.integers(8)
            shuffled += [bytes(data)] * int(rng.integers(0, 3))
        found = list(read_items(shuffled, recover=True))
        assert all(item in ITEMS for item in found)
        try:
            strict = list(read_items(shuffled))
        except FormatError:
            continue
        assert strict == found
