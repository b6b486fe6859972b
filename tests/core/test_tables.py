"""Offsets of any size come back through a table and its escape; odd tables are refused."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.core.range_coder import HALF, RangeDecoder, RangeEncoder
from streamcodec.core.tables import MAX_EXCESS_BITS, MAX_SYMBOL_BITS, FrequencyTables
from streamcodec.errors import CorruptPacketError, ModelError
from tests.core.small_prior import REACH, small_prior


@pytest.fixture
def tables() -> FrequencyTables:
    tensors, _ = small_prior()
    return FrequencyTables(tensors["table_reach"], tensors["table_frequencies"])


def test_every_offset_comes_back(tables: FrequencyTables) -> None:
    offsets = [
        *range(-80, 81),
        *(s * (2**k + d) for s in (1, -1) for k in (7, 12, 15) for d in (-1, 0, 1)),
    ]
    offsets += [65_534, -65_534]
    for table in range(0, 16 * len(REACH), 5):
        for offset in offsets:
            encoder = RangeEncoder()
            tables.encode(encoder, table, offset)
            payload = encoder.seal()
            decoder = RangeDecoder(payload)
            assert tables.decode(decoder, table) == offset
            decoder.finish()
            # The information that the tables state is what the coder spends.
            bits = float(tables.bits(np.array([table]), np.array([offset]))[0])
            assert 8 * len(payload) - 9 <= bits <= MAX_SYMBOL_BITS


def test_too_long_an_escape_is_corrupt(tables: FrequencyTables) -> None:
    encoder = RangeEncoder()
    escape = 2 * REACH[0] + 1
    encoder.encode(escape, tables._model(0))
    for _ in range(MAX_EXCESS_BITS + 1):
        encoder.encode(0, HALF)
    encoder.encode(1, HALF)
    with pytest.raises(CorruptPacketError, match="more than 16 bits"):
        tables.decode(RangeDecoder(encoder.seal()), 0)


@pytest.mark.parametrize(
    ("reach", "change"),
    [
        ([1], lambda f: f),
        ([0, 2, 5, 17], lambda f: f),
        ([3000, 2, 5, 17], lambda f: f),
        ([1] * 65, lambda f: f),
        (REACH, lambda f: f[:-1]),
        (REACH, lambda f: np.append(f, f[-1])),
        (REACH, lambda f: np.where(np.arange(len(f)) == 7, f + 1, f)),
        (REACH, lambda f: np.where(np.arange(len(f)) == 7, 0, f)),
    ],
)
def test_odd_tables_are_refused(reach, change) -> None:
    tensors, _ = small_prior()
    frequencies = change(tensors["table_frequencies"]).astype(np.uint16)
    with pytest.raises(ModelError, match="damaged"):
        FrequencyTables(np.array(reach, np.uint16), frequencies)
