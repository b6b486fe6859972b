"""Header, alpha and profiles come back; forged ones are refused before anything is allocated."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest

from streamcodec.core.container_layout import pack_varint
from streamcodec.errors import CorruptPacketError, FormatError, InputError
from streamcodec.image.header import (
    MAX_PROFILE,
    MAX_SIDE,
    PictureHeader,
    pack_alpha,
    pack_profile,
    parse_alpha,
    parse_profile,
)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_headers_come_back(colour: bool, alpha: bool, deep: bool) -> None:
    header = PictureHeader(MAX_SIDE, 1, colour, alpha, deep)
    assert PictureHeader.from_bytes(header.to_bytes()) == header
    assert header.peak == (65_535 if deep else 255)
    assert header.planes == (3 if colour else 1) + alpha


def test_forged_headers_are_refused() -> None:
    good = PictureHeader(300, 200).to_bytes()
    for data in (
        good[:-1], good + b"\0", b"", good[:-1] + b"\x08", b"\0\x01\x01",
        pack_varint(MAX_SIDE + 1) + b"\x01\x01", b"\xff" * 20,
    ):  # fmt: skip
        with pytest.raises(FormatError):
            PictureHeader.from_bytes(data)
    with pytest.raises(InputError):
        PictureHeader(0, 5)


def test_alpha_is_lossless() -> None:
    rng = np.random.default_rng(1)
    ramp = np.add.outer(np.arange(40), np.arange(70))
    for dtype in (np.uint8, np.uint16):
        for plane in (
            np.zeros((1, 1)),
            np.full((40, 70), 255),
            ramp,
            ramp * 300,
            rng.integers(0, 1 << 16, (9, 5)),
        ):
            plane = plane.astype(dtype)
            body = pack_alpha(plane)
            assert np.array_equal(parse_alpha(body, *plane.shape, dtype), plane)
    assert len(pack_alpha(np.full((512, 512), 255, np.uint8))) < 400
    assert len(pack_alpha(ramp.astype(np.uint8))) < 60


def test_forged_alpha_is_refused_and_allocates_nothing() -> None:
    bomb = b"\0" + zlib.compress(bytes(50_000_000), 9)
    good = pack_alpha(np.arange(12, dtype=np.uint8).reshape(3, 4))
    tracemalloc.start()
    for body in (bomb, b"", b"\x04" + good[1:], good[:-1], good + b"\0", b"\0garbage", b"\0"):
        with pytest.raises(CorruptPacketError):
            parse_alpha(body, 3, 4, np.uint8)
    with pytest.raises(CorruptPacketError):
        parse_alpha(good, 3, 5, np.uint8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_profiles() -> None:
    profile = bytes(range(256)) * 3
    assert parse_profile(pack_profile(profile)) == profile
    with pytest.raises(InputError, match="profile"):
        pack_profile(bytes(MAX_PROFILE + 1))
    with pytest.raises(CorruptPacketError):
        parse_profile(zlib.compress(bytes(MAX_PROFILE + 1)))
    assert len(parse_profile(zlib.compress(bytes(MAX_PROFILE)))) == MAX_PROFILE
