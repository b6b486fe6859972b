"""A grid's payload: what the stream coder would make of the same contexts, and safe to decode."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.grid import GridCoder
from streamcodec.core.range_coder import RangeDecoder, RangeEncoder
from streamcodec.errors import CorruptPacketError, InputError, ModelError
from tests.core.small_prior import CHANNELS, CONTEXT_STEPS, RATES, heavy_tailed, small_prior

NEIGHBOURS = ((-1, 0), (0, -1))
PRIOR = IntegerPrior(*small_prior())
CODER = GridCoder(PRIOR, NEIGHBOURS)


def with_constriction(payload: bytes, height: int, width: int, rate: int) -> np.ndarray:
    """Decode a grid with the stream's functions alone, one position a step."""
    from streamcodec.core import integer_network as net

    symbols = np.zeros((height, width, CHANNELS), np.int32)
    decoder = RangeDecoder(payload)
    sums = net.empty_sums(PRIOR.network)
    for y in range(height):
        for x in range(width):
            past = np.zeros((CONTEXT_STEPS, CHANNELS), np.int32)
            for k, (dy, dx) in enumerate(NEIGHBOURS):
                if y + dy >= 0 and 0 <= x + dx < width:
                    past[k] = symbols[y + dy, x + dx]
            net.start_step(PRIOR.network, rate, past, sums)
            symbol = 0
            for c in range(CHANNELS):
                table, center = net.tell_and_ask(PRIOR.network, rate, c, symbol, sums)
                symbol = center + PRIOR.tables.decode(decoder, table)
                symbols[y, x, c] = symbol
    decoder.finish()
    return symbols


@pytest.mark.parametrize("rate", range(RATES))
def test_symbols_come_back_and_constriction_agrees(rate: int) -> None:
    seed = 31
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for height, width in ((1, 1), (1, 9), (7, 1), (5, 6), (2, 3)):
        symbols = heavy_tailed(rng, height, width, CHANNELS)
        payload = CODER.rate(symbols, rate).encode()
        assert np.array_equal(CODER.decode(payload, height, width, rate), symbols)
        assert np.array_equal(with_constriction(payload, height, width, rate), symbols)


def test_messages_are_those_of_the_stream_coder() -> None:
    """Byte for byte, whatever carries over; seals of many lengths, escapes among them."""
    rng = np.random.default_rng(8)
    for number in range(60):
        symbols = heavy_tailed(rng, 1 + number % 5, 2 + number // 3, CHANNELS)
        rated = CODER.rate(symbols, number % RATES)
        encoder = RangeEncoder()
        for table, offset in zip(rated.choice.ravel(), rated.offsets.ravel(), strict=True):
            PRIOR.tables.encode(encoder, int(table), int(offset))
        assert rated.encode() == encoder.seal()


def test_a_column_is_a_stream() -> None:
    """With the stream's own neighbours a column costs the stream's own bytes."""
    coder = GridCoder(PRIOR, ((-2, 0), (-1, 0)))
    symbols = heavy_tailed(np.random.default_rng(3), 20, 1, CHANNELS)
    payload, _ = PRIOR.encode(symbols[:, 0], PRIOR.initial_context(), 1)
    assert coder.rate(symbols, 1).encode() == payload


def test_unused_channels_are_not_in_the_message() -> None:
    rng = np.random.default_rng(5)
    symbols = heavy_tailed(rng, 6, 6, CHANNELS)
    used = np.array([True, False, True, False, False, False])
    symbols[:, :, ~used] = 0
    short = CODER.rate(symbols, 0).encode(used)
    assert len(short) < len(CODER.rate(symbols, 0).encode())
    assert np.array_equal(CODER.decode(short, 6, 6, 0, used), symbols)
    assert CODER.rate(symbols * 0, 0).encode(used & False) == b""
    symbols[0, 0, 1] = 1
    with pytest.raises(InputError, match="leaves out"):
        CODER.rate(symbols, 0).encode(used)


def test_bits_are_what_a_payload_costs() -> None:
    symbols = heavy_tailed(np.random.default_rng(6), 9, 9, CHANNELS)
    bits = CODER.rate(symbols, 1).bits()
    assert bits.shape == symbols.shape
    assert 0 <= 8 * len(CODER.rate(symbols, 1).encode()) - bits.sum() < 10


def test_any_payload_decodes_or_is_corrupt() -> None:
    seed = 12
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    taken = 0
    for k in range(2000):
        payload = bytearray(CODER.rate(heavy_tailed(rng, 2, 3, CHANNELS), 0).encode())
        kind = k % 4
        if kind == 0:
            payload[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        elif kind == 1:
            payload = payload[: rng.integers(len(payload) + 1)]
        elif kind == 2:
            payload += rng.bytes(int(rng.integers(1, 9)))
        else:
            payload = bytearray(rng.bytes(int(rng.integers(0, PRIOR.max_payload(6) + 3))))
        try:
            symbols = CODER.decode(bytes(payload), 2, 3, 0)
        except CorruptPacketError:
            symbols = None
        try:
            expected = with_constriction(bytes(payload), 2, 3, 0)
        except CorruptPacketError:
            expected = None
        small = expected is not None and np.abs(expected).max() <= 32_767
        if symbols is None:
            assert not small or len(payload) > PRIOR.max_payload(6)
        else:
            taken += 1
            assert np.array_equal(symbols, expected)
            assert CODER.rate(symbols, 0).encode() == payload
    assert taken > 50


def test_ones_for_ever_are_corrupt() -> None:
    with pytest.raises(CorruptPacketError):
        CODER.decode(b"\xff" * 20, 2, 2, 0)
    with pytest.raises(CorruptPacketError, match="at most"):
        CODER.decode(b"\x01" * 10_000, 1, 1, 0)
    with pytest.raises(CorruptPacketError, match="rung"):
        CODER.decode(b"", 1, 1, RATES)


def test_wrong_arguments_are_named() -> None:
    good = np.zeros((2, 2, CHANNELS), np.int32)
    for symbols, rate, words in (
        (good[0], 0, "height, width"),
        (good.astype(float), 0, "integers"),
        (good + 32_768, 0, "within"),
        (good, RATES, "rung"),
    ):
        with pytest.raises(InputError, match=words):
            CODER.rate(symbols, rate)
    with pytest.raises(ModelError, match="pictures"):
        GridCoder(PRIOR, (*NEIGHBOURS, (0, -2)))
    with pytest.raises(ModelError, match="earlier"):
        GridCoder(PRIOR, ((-1, 0), (0, 1)))
