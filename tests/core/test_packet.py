"""Packets and headers: literal layout, every small damage seen, nothing but FormatError."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcodec.core.packet import (
    HEADER_BYTES,
    KIND_IMAGE,
    KIND_SPEECH,
    MAX_PAYLOAD,
    Packet,
    StreamHeader,
    crc8,
    parse_packet,
)
from streamcodec.errors import (
    CorruptPacketError,
    FormatError,
    InputError,
    ModelMismatchError,
    TruncatedError,
    UnsupportedVersionError,
)

HEADER = StreamHeader(identity=bytes(range(8)), steps_per_packet=2, refresh=25)


def test_crc_is_the_catalogued_one() -> None:
    assert crc8(b"123456789") == 0x4B
    assert crc8(b"") == 0x00


def test_packet_literally() -> None:
    packet = Packet.build(b"\x12\x34", rate=5, refresh=True, sequence=19, duration=0.08)
    assert packet.hex() == "b3871234"
    assert (packet.rate, packet.refresh, packet.sequence) == (5, True, 3)
    assert (packet.payload, packet.bits, packet.duration) == (b"\x12\x34", 16, 0.08)
    assert packet.data == bytes(packet) == packet
    assert type(packet.data) is bytes
    assert type(packet.payload) is bytes
    assert "rate 5" in repr(packet)


def test_a_packet_is_bytes() -> None:
    packet = Packet.build(b"abc", rate=0, refresh=False, sequence=0, duration=0.04)
    assert b"".join([packet, packet]) == packet.data * 2
    assert memoryview(packet)[2:] == b"abc"
    copy = pickle.loads(pickle.dumps(packet))
    assert copy == packet
    assert copy.duration == 0.04


@given(st.binary(max_size=300), st.integers(0, 7), st.booleans(), st.integers(0, 10**9))
def test_packets_come_back(payload: bytes, rate: int, refresh: bool, sequence: int) -> None:
    packet = Packet.build(payload, rate=rate, refresh=refresh, sequence=sequence)
    parsed = parse_packet(bytes(packet), 0.08)
    assert parsed == packet
    assert parsed.payload == payload
    assert (parsed.rate, parsed.refresh) == (rate, refresh)
    assert parsed.sequence == sequence % Packet.SEQUENCE_MODULUS
    assert parsed.duration == 0.08


def test_every_one_and_two_bit_error_is_seen() -> None:
    packet = Packet.build(bytes(range(20)), rate=2, refresh=False, sequence=7)
    bits = range(8 * len(packet))
    for flips in itertools.chain(itertools.combinations(bits, 1), itertools.combinations(bits, 2)):
        damaged = bytearray(packet)
        for bit in flips:
            damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptPacketError, match="conceal"):
            parse_packet(bytes(damaged))


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_raise_format_error(data: bytes) -> None:
    try:
        packet = parse_packet(data)
    except FormatError:
        return
    assert packet == data
    assert 0 <= packet.rate <= 7


def test_odd_packets_are_named() -> None:
    for short in (b"", b"\x10"):
        with pytest.raises(TruncatedError, match="at least 2"):
            parse_packet(short)
    with pytest.raises(CorruptPacketError, match="at most"):
        parse_packet(bytes(MAX_PAYLOAD + 3))
    with pytest.raises(CorruptPacketError):
        parse_packet(bytes(20))
    for arguments in (
        {"payload": bytes(MAX_PAYLOAD + 1)},
        {"rate": 8},
        {"rate": -1},
        {"sequence": -1},
    ):
        good = {"payload": b"", "rate": 0, "refresh": False, "sequence": 0}
        with pytest.raises(InputError):
            Packet.build(**{**good, **arguments})


def test_header_literally() -> None:
    data = HEADER.to_bytes()
    assert data.hex() == "7363737401010001020304050607020019d2d80412"
    assert len(data) == HEADER_BYTES
    assert StreamHeader.from_bytes(data) == HEADER
    assert StreamHeader.from_bytes(data + b"more") == HEADER
    assert HEADER.kind == KIND_SPEECH


@given(
    st.binary(min_size=8, max_size=8),
    st.integers(1, 255),
    st.integers(1, 65_535),
    st.sampled_from([KIND_SPEECH, KIND_IMAGE]),
)
def test_headers_come_back(identity: bytes, steps: int, refresh: int, kind: int) -> None:
    header = StreamHeader(identity, steps, refresh, kind)
    assert StreamHeader.from_bytes(header.to_bytes()) == header


def test_every_damaged_header_is_refused() -> None:
    data = HEADER.to_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            StreamHeader.from_bytes(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            StreamHeader.from_bytes(data[:length])


def test_a_newer_stream_says_so_whatever_follows() -> None:
    with pytest.raises(UnsupportedVersionError, match="newer release"):
        StreamHeader.from_bytes(b"scst\x02")


def test_header_fields_out_of_range() -> None:
    for fields in (
        {"identity": b"short"},
        {"steps_per_packet": 0},
        {"steps_per_packet": 256},
        {"refresh": 0},
        {"refresh": 65_536},
        {"kind": 3},
    ):
        good = {"identity": bytes(8), "steps_per_packet": 2, "refresh": 25}
        with pytest.raises(InputError):
            StreamHeader(**{**good, **fields})


def test_another_model_is_named() -> None:
    HEADER.check_model(bytes(range(8)))
    with pytest.raises(ModelMismatchError, match="0001020304050607"):
        HEADER.check_model(bytes(8))


def test_random_packets_mostly_fail_their_check() -> None:
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(5000):
        try:
            parse_packet(rng.bytes(int(rng.integers(2, 30))))
            passed += 1
        except CorruptPacketError:
            pass
    assert passed < 50
