"""The coder gives back what it took, uses exactly the given frequencies, and wastes few bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from streamcodec.core.range_coder import HALF, RangeDecoder, RangeEncoder, exact_model
from streamcodec.errors import CorruptPacketError
from tests.core import reference

UNIT = 256
FULL_RANGE = 2**64 - 1


def random_frequencies(rng: np.random.Generator) -> np.ndarray:
    size = int(rng.integers(2, 40))
    share = rng.dirichlet(np.full(size, rng.choice([0.05, 1.0, 10.0])))
    frequencies = 1 + np.floor(share * (65_536 - size)).astype(np.int64)
    frequencies[np.argmax(frequencies)] += 65_536 - frequencies.sum()
    return frequencies


def sealed(symbols: list[int], models: list) -> bytes:
    encoder = RangeEncoder()
    for symbol, model in zip(symbols, models, strict=True):
        encoder.encode(symbol, model)
    return encoder.seal()


def test_the_coder_uses_exactly_the_given_frequencies() -> None:
    rng = np.random.default_rng(3)
    extremes = [
        np.array([1, 65_535]),
        np.array([65_535, 1]),
        np.array([1] * 1000 + [64_536]),
        np.array([64_536] + [1] * 1000),
    ]
    for frequencies in [*extremes, *(random_frequencies(rng) for _ in range(300))]:
        model = exact_model(frequencies)
        below = np.concatenate([[0], np.cumsum(frequencies)])
        for symbol, frequency in enumerate(frequencies.tolist()):
            encoder = RangeEncoder()
            encoder.encode(symbol, model)
            # The bounds that the coder used can be read out of its state after one symbol.
            _, (low, width) = encoder._coder.pos()
            scale = FULL_RANGE >> 24
            assert low == scale * UNIT * int(below[symbol])
            assert width == scale * UNIT * frequency


def test_random_messages_come_back_and_their_end_is_cheap() -> None:
    seed = 4
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    overheads = []
    for _ in range(400):
        tables = [random_frequencies(rng) for _ in range(rng.integers(1, 150))]
        symbols = [int(rng.choice(len(f), p=f / 65_536)) for f in tables]
        models = [exact_model(f) for f in tables]
        payload = sealed(symbols, models)
        decoder = RangeDecoder(payload)
        assert [decoder.decode(model) for model in models] == symbols
        decoder.finish()
        ideal = sum(16 - math.log2(f[s]) for f, s in zip(tables, symbols, strict=True))
        overheads.append(8 * len(payload) - ideal)
    print(f"sealing takes {np.mean(overheads):.2f} bits, at most {np.max(overheads):.2f}")
    assert np.mean(overheads) < 5
    assert np.max(overheads) < 9.5


def test_carries_run_through_pending_words() -> None:
    """Symbols in the middle of the interval for ever: the coder cannot settle its first word."""
    thirds = exact_model(np.array([21_845, 21_846, 21_845]))
    for last in itertools.product(range(3), repeat=3):
        symbols = [1] * 200 + list(last)
        payload = sealed(symbols, [thirds] * len(symbols))
        decoder = RangeDecoder(payload)
        assert [decoder.decode(thirds) for _ in symbols] == symbols
        decoder.finish()


def test_every_short_payload_is_a_message_or_corrupt() -> None:
    """Of all payloads up to two bytes, those that pass are the seals of what they decode to."""
    skewed = exact_model(np.array([50_000, 15_000, 536]))
    messages: dict[tuple[int, ...], bytes] = {}
    for length in range(3):
        for number in range(256**length):
            payload = number.to_bytes(length, "big")
            decoder = RangeDecoder(payload)
            try:
                symbols = tuple(decoder.decode(skewed) for _ in range(4))
                decoder.finish()
            except CorruptPacketError:
                continue
            assert symbols not in messages, "two payloads for the same symbols"
            messages[symbols] = payload
    for symbols in itertools.product(range(3), repeat=4):
        payload = sealed(list(symbols), [skewed] * 4)
        assert payload == messages.get(symbols, payload)
        assert (symbols in messages) == (len(payload) <= 2)


def test_anything_but_a_seal_is_corrupt() -> None:
    models = [exact_model(np.array([40_000, 20_000, 5_536]))] * 60
    rng = np.random.default_rng(5)
    symbols = rng.integers(0, 3, 60).tolist()
    payload = sealed(symbols, models)
    for wrong in (payload + b"\0", payload + b"\x01", payload + bytes(100)):
        decoder = RangeDecoder(wrong)
        assert [decoder.decode(model) for model in models] == symbols
        with pytest.raises(CorruptPacketError, match="not the sealed form"):
            decoder.finish()


def test_a_cut_message_is_another_message() -> None:
    """The code itself cannot tell; that is what the check of a packet is for."""
    models = [exact_model(np.array([40_000, 20_000, 5_536]))] * 60
    symbols = np.random.default_rng(5).integers(0, 3, 60).tolist()
    decoder = RangeDecoder(sealed(symbols, models)[:-1])
    assert [decoder.decode(model) for model in models] != symbols


def test_a_number_beyond_all_symbols_is_corrupt() -> None:
    with pytest.raises(CorruptPacketError, match="not a range-coded message"):
        RangeDecoder(b"\xff" * 8).decode(HALF)


def test_nothing_is_no_bytes() -> None:
    assert RangeEncoder().seal() == b""
    RangeDecoder(b"").finish()


@pytest.mark.parametrize(
    ("symbols", "literal"),
    [
        ([1, 2, 1] * 3, "ffd9"),
        ([0, 1, 0] * 3, "0000752fff8cb27ba007c39d"),
        ([1, 0, 1] * 20, "000971"),
    ],
)
def test_literal_bytes(symbols: list[int], literal: str) -> None:
    """These bytes are the format; if they change, the version of the bitstream must."""
    tables = [[1, 65_535], [30_000, 30_000, 5_536], [9, 65_527]] * (len(symbols) // 3)
    models = [exact_model(np.array(table)) for table in tables]
    assert sealed(symbols, models).hex() == literal
    document = reference.RangeDecoder(bytes.fromhex(literal))
    assert [document.decode(table) for table in tables] == symbols
    assert document.sealed().hex() == literal
