"""The container: literal layout, any chunking, truncation, damage, seeking, flat memory."""

from __future__ import annotations

import itertools
import mmap
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.core.container import ContainerReader, ContainerWriter
from streamcodec.core.container_file import ContainerFile
from streamcodec.core.container_layout import (
    END_MAGIC,
    MAGIC,
    MAX_METADATA,
    MAX_RECORD,
    MAX_SEEK_POINTS,
    SeekPoint,
    pack_varint,
    parse_varint,
)
from streamcodec.core.packet import Packet, StreamHeader
from streamcodec.errors import (
    FormatError,
    InputError,
    TruncatedError,
    UnsupportedVersionError,
)

HEADER = StreamHeader(identity=bytes(range(8)), steps_per_packet=2, refresh=3)
METADATA = {"sample_rate": 48_000, "channels": 2}
VECTOR = Path(__file__).parents[1] / "vectors" / "container_small.hex"


def packets(count: int = 8) -> list[Packet]:
    return [
        Packet.build(bytes([k]) * (k % 5), rate=2, refresh=k % 3 == 0, sequence=k)
        for k in range(count)
    ]


def make(records: list[Packet], total: int = 10_000) -> bytes:
    writer = ContainerWriter(HEADER, METADATA)
    parts = [writer.begin(), *(writer.add(p) for p in records), writer.finish(total)]
    return b"".join(parts)


FILE = make(packets())


def test_literally() -> None:
    """Eight packets with a refresh at 0, 3 and 6, payloads of 0, 1, 2, 3, 4, 0, 1, 2 bytes."""
    assert bytes.fromhex(VECTOR.read_text()) == FILE
    head = 8 + 21 + 1 + len(b'{"sample_rate":48000,"channels":2}') + 4
    points = [SeekPoint(0, head), SeekPoint(3, head + 12), SeekPoint(6, head + 12 + 16)]
    assert ContainerFile(FILE).trailer.seek_points == tuple(points)
    trailer_size = int.from_bytes(FILE[-8:-4], "big")
    assert zlib.crc32(FILE[:-12]) == int.from_bytes(FILE[-12:-8], "big")
    assert FILE[-13 - trailer_size] == 0
    assert FILE.endswith(END_MAGIC)


@given(st.lists(st.integers(0, 60), max_size=30))
def test_any_chunking_reads_the_same(sizes: list[int]) -> None:
    reader, found, begin = ContainerReader(), [], 0
    for size in [*sizes, len(FILE)]:
        found += reader.feed(FILE[begin : begin + size])
        begin += size
    assert found == packets()
    assert (reader.header, reader.metadata) == (HEADER, METADATA)
    trailer = reader.finish()
    assert (trailer.total_samples, trailer.packets) == (10_000, 8)
    assert reader.packets == 8


def test_an_empty_stream_is_a_file() -> None:
    data = make([], 0)
    reader = ContainerReader()
    assert reader.feed(data) == []
    assert reader.finish().total_samples == 0
    file = ContainerFile(data)
    assert list(file.records()) == []
    file.verify()


def test_every_truncation_keeps_what_came_before() -> None:
    ends = [len(make(packets(k))) for k in range(9)]
    end_of_head = ends[0] - len(make([])[len(ContainerWriter(HEADER, METADATA).begin()) :])
    for length in range(len(FILE)):
        reader = ContainerReader()
        found = reader.feed(FILE[:length])
        assert found == packets()[: len(found)]
        with pytest.raises(TruncatedError) as caught:
            reader.finish()
        if length >= end_of_head:
            assert f"{len(found)} complete packets" in str(caught.value)
        with pytest.raises(TruncatedError):
            ContainerFile(FILE[:length])
    assert len(found) == 8


def test_random_damage_raises_format_error_or_reads() -> None:
    seed = 12
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    began = time.perf_counter()
    for k in range(6000):
        data = bytearray(FILE)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(data)))
            kind = rng.integers(4)
            if kind == 0:
                data[place] ^= 1 << rng.integers(8)
            elif kind == 1:
                data[place] = rng.integers(256)
            elif kind == 2:
                del data[place : place + int(rng.integers(1, 6))]
            else:
                data[place:place] = rng.bytes(int(rng.integers(1, 6)))
            if not data:
                data = bytearray(1)
        intact = bytes(data) == FILE
        reader, found = ContainerReader(), []
        try:
            step = int(rng.integers(1, len(data) + 1))
            for begin in range(0, len(data), step):
                found += reader.feed(bytes(data[begin : begin + step]))
            reader.finish()
            assert intact, f"damage {k} was not seen"
        except FormatError:
            assert not intact
        try:
            for index, record in ContainerFile(bytes(data)).records(int(rng.integers(10))):
                assert index >= 0
                assert len(record) <= MAX_RECORD
        except FormatError:
            pass
    assert time.perf_counter() - began < 60


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 120))
def test_any_bytes_after_any_beginning(tail: bytes, kept: int) -> None:
    data = FILE[:kept] + tail

    def stream() -> None:
        reader = ContainerReader()
        reader.feed(data)
        reader.finish()

    for read in (stream, lambda: ContainerFile(data).verify()):
        try:
            read()
        except FormatError:
            continue
        assert data == FILE


def test_no_packet_is_lost_to_damage_behind_it() -> None:
    good = FILE[: len(FILE) - 30]
    reader = ContainerReader()
    found = reader.feed(good[: len(ContainerWriter(HEADER, METADATA).begin()) + 12] + b"\xff" * 9)
    assert found == packets()[:3]
    for _ in range(2):
        with pytest.raises(FormatError, match="damaged"):
            reader.feed(b"")
    with pytest.raises(FormatError, match="damaged"):
        reader.finish()


def test_foreign_and_newer_files_say_so() -> None:
    for foreign in (b"RIFF\x24\x00\x00\x00WAVEfmt ", b"\x89PNG\r\n\x1a\n" + bytes(50), b"x"):
        with pytest.raises(FormatError, match="expected a streamcodec file") as caught:
            ContainerReader().feed(foreign)
        assert not isinstance(caught.value, TruncatedError)
    newer = bytearray(FILE)
    newer[len(MAGIC) + 4] = 9
    with pytest.raises(UnsupportedVersionError, match="newer release"):
        ContainerReader().feed(bytes(newer))
    reader = ContainerReader()
    assert reader.feed(b"") == []
    with pytest.raises(TruncatedError, match="head"):
        reader.finish()


def test_hostile_lengths_and_metadata() -> None:
    head = MAGIC + HEADER.to_bytes()
    with pytest.raises(FormatError, match="beyond"):
        ContainerReader().feed(head + pack_varint(2**40))
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    for text in (b"[]", b"{", b"\xff\xfe", deep, b'{"a":' + b"9" * 5000 + b"}", b""):
        body = head + pack_varint(len(text)) + text
        data = body + zlib.crc32(body).to_bytes(4, "big")
        with pytest.raises(FormatError):
            ContainerReader().feed(data)
    begin = ContainerWriter(HEADER).begin()
    for length in (1, MAX_RECORD + 1, 2**60):
        reader = ContainerReader()
        reader.feed(begin + pack_varint(length))
        with pytest.raises(FormatError, match="record of"):
            reader.finish()
    reader = ContainerReader()
    reader.feed(begin + b"\0" + pack_varint(0) + pack_varint(2**60) + pack_varint(2**60))
    with pytest.raises(FormatError, match="seek points"):
        reader.finish()


def test_bytes_behind_the_end_are_noticed() -> None:
    reader = ContainerReader()
    assert reader.feed(FILE + b"!") == packets()
    with pytest.raises(FormatError, match="follow the end"):
        reader.finish()


def test_seeking(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILE)
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for source in (FILE, memoryview(FILE), data):
            file = ContainerFile(source)
            assert (file.header, file.metadata) == (HEADER, METADATA)
            for wanted in range(10):
                found = list(file.records(wanted))
                first = min(wanted, 7) // 3 * 3
                assert found == list(enumerate(packets()))[first:]
            file.verify()
            del file, found
    changed = bytearray(FILE)
    changed[-30] ^= 1
    with pytest.raises(FormatError):
        ContainerFile(bytes(changed)).verify()


def test_a_long_file_takes_no_more_memory() -> None:
    """Almost two hours: writer and reader stay small, and the index stays useful."""
    count, refresh = 80_000, 5
    plain = Packet.build(b"x" * 10, rate=1, refresh=False, sequence=0)
    fresh = Packet.build(b"x" * 10, rate=1, refresh=True, sequence=0)
    tracemalloc.start()
    writer, reader = ContainerWriter(HEADER), ContainerReader()
    reader.feed(writer.begin())
    peaks = []
    for k in range(count):
        reader.feed(writer.add(plain if k % refresh else fresh))
        if k in (20_000, count - 1):
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    reader.feed(writer.finish(count))
    tracemalloc.stop()
    points = reader.finish().seek_points
    assert MAX_SEEK_POINTS // 2 <= len(points) <= MAX_SEEK_POINTS
    gaps = {b.packet - a.packet for a, b in itertools.pairwise(points)}
    assert len(gaps) == 1
    assert points[0].packet == 0
    assert max(peaks) < 2_000_000


def test_varints() -> None:
    for number in (0, 1, 127, 128, 300, 2**21, 2**63 - 1):
        data = pack_varint(number)
        assert parse_varint(data, 0) == (number, len(data))
        for length in range(len(data)):
            assert parse_varint(data[:length], 0) is None
    for bad in (b"\x80\x00", b"\xff" * 9, b"\xff" * 20):
        with pytest.raises(FormatError):
            parse_varint(bad, 0)
    for number in (-1, 2**63):
        with pytest.raises(InputError):
            pack_varint(number)


def test_a_writer_used_wrongly_says_so() -> None:
    writer = ContainerWriter(HEADER)
    with pytest.raises(InputError, match="begin"):
        writer.add(packets()[0])
    with pytest.raises(InputError, match="begin"):
        writer.finish(0)
    writer.begin()
    with pytest.raises(InputError, match="begun"):
        writer.begin()
    for wrong in (b"", b"x", bytes(MAX_RECORD + 1)):
        with pytest.raises(InputError, match="packet of"):
            writer.add(wrong)
    writer.finish(0)
    with pytest.raises(InputError, match="finish"):
        writer.add(packets()[0])
    for metadata in ({"a": float("nan")}, {"a": b"bytes"}, {"a": "x" * MAX_METADATA}):
        with pytest.raises(InputError, match="metadata"):
            ContainerWriter(HEADER, metadata).begin()
