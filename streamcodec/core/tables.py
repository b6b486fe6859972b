"""Frequency tables of the entropy coder, and the coding of one symbol with them.

A table holds frequencies for the offsets ``-reach..reach`` of a symbol from its center, and one
for everything beyond, the escape. There are 16 tables a scale, one for each place of the
location between two integers. They are made when a model is exported and stored in it, so no
probability is computed where bits are decoded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamcodec.core.integer_network import FRACTION_BITS, FRACTIONS, MAX_SYMBOL
from streamcodec.core.range_coder import (
    CODER_BITS,
    FREQUENCY_BITS,
    HALF,
    Model,
    RangeDecoder,
    RangeEncoder,
    exact_model,
)
from streamcodec.errors import CorruptPacketError, ModelError

MAX_REACH = 2048
"""No table may be wider: a limit on what a model file can make us allocate."""

MAX_SCALES = 64

MAX_EXCESS_BITS = (2 * MAX_SYMBOL).bit_length()
"""Bits of the largest distance between a symbol and its center."""

MAX_SYMBOL_BITS = FREQUENCY_BITS + 1 + (2 * MAX_EXCESS_BITS - 1) + 1
"""What the dearest symbol costs: the rarest escape, a sign, the longest Elias gamma code, and a
bit for what the coder loses by rounding its range (below 0.006 bits for each of 33 decisions)."""


class FlatTables(NamedTuple):
    """All tables in the form that compiled loops read."""

    start: NDArray[np.int64]
    """``(tables,)``: where each table begins in ``lower``."""
    reach: NDArray[np.int64]
    """``(scales,)``"""
    lower: NDArray[np.uint32]
    """``(n,)``: sum of the frequencies before an entry in its table, in the coder's 24 bits."""
    width: NDArray[np.uint32]
    """``(n,)``: frequency of an entry, in the coder's 24 bits."""


class FrequencyTables:
    """All tables of a model.

    Parameters
    ----------
    reach
        ``(scales,)`` uint16 >= 1: the largest offset that has its own frequency, for each scale.
    frequencies
        ``(n,)`` uint16 >= 1: the tables one after the other, 16 a scale, each of
        ``2 * reach + 2`` frequencies with sum ``2**16``, the escape last.

    Raises
    ------
    ModelError
        The tables are not like that.
    """

    def __init__(self, reach: NDArray[np.uint16], frequencies: NDArray[np.uint16]) -> None:
        scales = len(reach)
        if not 1 <= scales <= MAX_SCALES or reach.min() < 1 or reach.max() > MAX_REACH:
            raise ModelError(
                f"expected 1 to {MAX_SCALES} scales with reach 1 to {MAX_REACH}, found {scales} "
                "scales or another reach; the model file is damaged"
            )
        sizes = np.repeat(2 * reach.astype(np.int64) + 2, FRACTIONS)
        ends = np.cumsum(sizes)
        if len(frequencies) != ends[-1]:
            raise ModelError(
                f"expected {ends[-1]} table frequencies, found {len(frequencies)}; "
                "the model file is damaged"
            )
        self.reach = reach.astype(np.int64)
        self._start = ends - sizes
        sums = np.add.reduceat(frequencies.astype(np.int64), self._start)
        if frequencies.min() < 1 or np.any(sums != 1 << FREQUENCY_BITS):
            raise ModelError(
                f"table frequencies must be positive with sum {1 << FREQUENCY_BITS}; "
                "the model file is damaged"
            )
        self._frequencies = frequencies
        self._sizes = sizes
        self._reach_of = [int(r) for r in reach]
        # Coder models are made when first used: a stream touches a few of a thousand tables.
        self._models: list[Model | None] = [None] * len(sizes)
        self._cost = FREQUENCY_BITS - np.log2(frequencies.astype(np.float64))

    def encode(self, encoder: RangeEncoder, table: int, offset: int) -> None:
        """Append a symbol, given as its offset from the center."""
        reach = self._reach_of[table >> FRACTION_BITS]
        model = self._models[table] or self._model(table)
        if -reach <= offset <= reach:
            encoder.encode(offset + reach, model)
            return
        encoder.encode(2 * reach + 1, model)
        encoder.encode(int(offset < 0), HALF)
        excess = abs(offset) - reach
        length = excess.bit_length()
        for _ in range(length - 1):
            encoder.encode(0, HALF)
        for k in reversed(range(length)):
            encoder.encode(excess >> k & 1, HALF)

    def decode(self, decoder: RangeDecoder, table: int) -> int:
        """Return the offset of the next symbol from its center.

        Raises
        ------
        CorruptPacketError
            The bytes hold no symbol, or one beyond all limits.
        """
        reach = self._reach_of[table >> FRACTION_BITS]
        index = decoder.decode(self._models[table] or self._model(table))
        if index <= 2 * reach:
            return index - reach
        negative = decoder.decode(HALF)
        length = 1
        while not decoder.decode(HALF):
            length += 1
            if length > MAX_EXCESS_BITS:
                raise CorruptPacketError(
                    f"an escaped symbol has more than {MAX_EXCESS_BITS} bits; conceal this packet"
                )
        excess = 1
        for _ in range(length - 1):
            excess = excess << 1 | decoder.decode(HALF)
        return -(reach + excess) if negative else reach + excess

    def bits(self, tables: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Information content of symbols with these tables and offsets, of one shape, in bits.

        In floating point: for decisions of the encoder, no decoder needs it.
        """
        reach = self.reach[tables >> FRACTION_BITS]
        excess = np.abs(offsets) - reach
        escaped = excess > 0
        entry = np.where(escaped, 2 * reach + 1, offsets + reach)
        # frexp gives the bit length of a positive integer.
        length = np.frexp(np.maximum(excess, 1))[1]
        return self._cost[self._start[tables] + entry] + escaped * (2.0 * length)

    def flat(self) -> FlatTables:
        """The tables as arrays, for compiled loops."""
        unit = np.uint32(1 << (CODER_BITS - FREQUENCY_BITS))
        width: NDArray[np.uint32] = self._frequencies.astype(np.uint32) * unit
        behind = np.cumsum(width, dtype=np.uint64)
        # Every table sums to 2**24, so what lies before a table is its number times that.
        before = np.repeat(np.arange(len(self._sizes), dtype=np.uint64), self._sizes) << CODER_BITS
        lower = (behind - width - before).astype(np.uint32)
        return FlatTables(self._start, self.reach, lower, width)

    def _model(self, table: int) -> Model:
        begin = self._start[table]
        model = exact_model(self._frequencies[begin : begin + self._sizes[table]])
        self._models[table] = model
        return model
