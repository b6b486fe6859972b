"""Compiled loops of the grid coder: network, tables and range coder in one.

The range code is that of the bitstream document, section 3, symbol for symbol what
:class:`streamcodec.core.range_coder.RangeEncoder` and its decoder do; there a call from Python for
each symbol costs some microseconds, which is nothing for speech and a second for a picture. The
loops hold no lock of the interpreter, so tiles can be decoded on several threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamcodec.core.integer_network import (
    FRACTION_BITS,
    MAX_SYMBOL,
    IntegerNetwork,
    Sums,
    ask,
    start_step,
    tell,
)
from streamcodec.core.range_coder import CODER_BITS, WORD_BITS
from streamcodec.core.tables import MAX_EXCESS_BITS, FlatTables

DECODED, NO_SYMBOL, LONG_ESCAPE, LARGE_SYMBOL = range(4)
"""What :func:`decode_grid` says: all is well, or what is wrong with the payload."""

POINT, RANGE, POSITION = range(3)
"""Places in the state of a decoder ``(3,)`` uint64: the message's distance from the lower end of
the interval, the interval's width, words read."""

LOWER, WIDTH, WRITTEN = range(3)
"""Places in the state of an encoder ``(3,)`` uint64: low bits of the interval's lower end, its
width, words written."""

SYMBOL_WORDS = 2
"""Words that a symbol takes at most: an entry of 24 bits, an escape of 2 x 17, and rounding."""

INVALID = -1
"""In place of an entry: no symbol leads to these bytes."""

_HALF = np.uint32(1 << (CODER_BITS - 1))
_SMALLEST = np.uint64(1 << WORD_BITS)
_WORD = np.uint64(WORD_BITS)
_PRECISION = np.uint64(CODER_BITS)
_SCALES_END = np.uint64(1 << CODER_BITS)


@njit(cache=True, inline="always")
def _next_word(words: NDArray[np.uint32], state: NDArray[np.uint64]) -> np.uint64:
    """The next word of the message, zero behind its end."""
    position = np.int64(state[POSITION])
    state[POSITION] = np.uint64(position + 1)
    return np.uint64(words[position]) if position < len(words) else np.uint64(0)


@njit(cache=True)
def open_message(words: NDArray[np.uint32], state: NDArray[np.uint64]) -> None:
    """Begin a message: the widest interval, and its first two words."""
    state[POSITION] = 0
    state[RANGE] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    state[POINT] = _next_word(words, state) << _WORD
    state[POINT] |= _next_word(words, state)


@njit(cache=True, inline="always")
def _narrow(
    words: NDArray[np.uint32],
    state: NDArray[np.uint64],
    scale: np.uint64,
    lower: np.uint32,
    width: np.uint32,
) -> None:
    """Take an entry's part of the interval."""
    state[POINT] -= scale * np.uint64(lower)
    state[RANGE] = scale * np.uint64(width)
    if state[RANGE] < _SMALLEST:
        state[RANGE] <<= _WORD
        state[POINT] = (state[POINT] << _WORD) | _next_word(words, state)


@njit(cache=True, error_model="numpy")
def _decode_entry(
    words: NDArray[np.uint32],
    state: NDArray[np.uint64],
    lower: NDArray[np.uint32],
    width: NDArray[np.uint32],
) -> int:
    """The next symbol of the model with these bounds, or INVALID."""
    scale = state[RANGE] >> _PRECISION
    quotient = state[POINT] // scale
    if quotient >= _SCALES_END:
        return INVALID
    begin, end = 0, len(lower)
    while end - begin > 1:
        middle = (begin + end) >> 1
        if np.uint64(lower[middle]) <= quotient:
            begin = middle
        else:
            end = middle
    _narrow(words, state, scale, lower[begin], width[begin])
    return begin


@njit(cache=True, error_model="numpy")
def _decode_fair_bit(words: NDArray[np.uint32], state: NDArray[np.uint64]) -> int:
    """One bit of probability one half, or INVALID."""
    scale = state[RANGE] >> _PRECISION
    quotient = state[POINT] // scale
    if quotient >= _SCALES_END:
        return INVALID
    bit = 1 if quotient >= np.uint64(_HALF) else 0
    _narrow(words, state, scale, _HALF if bit else np.uint32(0), _HALF)
    return bit


@njit(cache=True)
def _decode_escape(words: NDArray[np.uint32], state: NDArray[np.uint64], reach: int) -> int:
    """An offset beyond the reach of its table; 0 if it is longer than any, INVALID bits too."""
    negative = _decode_fair_bit(words, state)
    length = 1
    while True:
        bit = _decode_fair_bit(words, state)
        if bit == INVALID or length > MAX_EXCESS_BITS:
            return 0
        if bit == 1:
            break
        length += 1
    if negative == INVALID or length > MAX_EXCESS_BITS:
        return 0
    excess = 1
    for _ in range(length - 1):
        bit = _decode_fair_bit(words, state)
        if bit == INVALID:
            return 0
        excess = excess << 1 | bit
    return -(reach + excess) if negative else reach + excess


@njit(cache=True)
def _gather(
    symbols: NDArray[np.int32],
    y: int,
    x: int,
    neighbours: NDArray[np.int64],
    past: NDArray[np.int32],
) -> None:
    """Symbols of the neighbours of a position, zeros outside the grid, into ``past (T, D)``."""
    height, width, _ = symbols.shape
    for k in range(len(neighbours)):
        row, column = y + neighbours[k, 0], x + neighbours[k, 1]
        if 0 <= row < height and 0 <= column < width:
            past[k] = symbols[row, column]
        else:
            past[k] = 0


@njit(cache=True, nogil=True)
def decode_grid(
    network: IntegerNetwork,
    flat: FlatTables,
    neighbours: NDArray[np.int64],
    rate: int,
    used: NDArray[np.bool_],
    words: NDArray[np.uint32],
    state: NDArray[np.uint64],
    sums: Sums,
    symbols: NDArray[np.int32],
) -> int:
    """Decode all symbols of a grid into ``symbols (h, w, D)``, zeros at first.

    ``used (D,)`` says which channels are in the message. Returns DECODED or what is wrong.
    """
    height, width, channels = symbols.shape
    past = np.zeros((len(neighbours), channels), np.int32)
    last = 0
    for c in range(channels):
        if used[c]:
            last = c + 1
    open_message(words, state)
    for y in range(height):
        for x in range(width):
            _gather(symbols, y, x, neighbours, past)
            start_step(network, rate, past, sums)
            for c in range(last):
                table, center = ask(network, rate, c, sums)
                if not used[c]:
                    continue
                scale = table >> FRACTION_BITS
                reach = flat.reach[scale]
                begin = flat.start[table]
                end = begin + 2 * reach + 2
                entry = _decode_entry(words, state, flat.lower[begin:end], flat.width[begin:end])
                if entry == INVALID:
                    return NO_SYMBOL
                offset = entry - reach
                if entry == 2 * reach + 1:
                    offset = _decode_escape(words, state, reach)
                    if offset == 0:
                        return LONG_ESCAPE
                symbol = center + offset
                if symbol < -MAX_SYMBOL or symbol > MAX_SYMBOL:
                    return LARGE_SYMBOL
                symbols[y, x, c] = symbol
                tell(network, rate, c, symbol, sums)
    return DECODED


@njit(cache=True, nogil=True)
def grid_distributions(
    network: IntegerNetwork,
    neighbours: NDArray[np.int64],
    rate: int,
    symbols: NDArray[np.int32],
    sums: Sums,
    tables: NDArray[np.int64],
    centers: NDArray[np.int64],
) -> None:
    """Tables and centers of all symbols of a grid ``(h, w, D)``."""
    height, width, channels = symbols.shape
    past = np.zeros((len(neighbours), channels), np.int32)
    for y in range(height):
        for x in range(width):
            _gather(symbols, y, x, neighbours, past)
            start_step(network, rate, past, sums)
            for c in range(channels):
                tables[y, x, c], centers[y, x, c] = ask(network, rate, c, sums)
                tell(network, rate, c, symbols[y, x, c], sums)


@njit(cache=True, inline="always")
def _write(
    words: NDArray[np.uint32],
    state: NDArray[np.uint64],
    lower: np.uint32,
    width: np.uint32,
) -> None:
    """Put an entry's part in the interval's place."""
    scale = state[WIDTH] >> _PRECISION
    moved = state[LOWER] + scale * np.uint64(lower)
    if moved < state[LOWER]:  # carried over the 64 bits
        place = np.int64(state[WRITTEN]) - 1
        while place >= 0:
            words[place] += np.uint32(1)
            if words[place] != 0:
                break
            place -= 1
    state[LOWER] = moved
    state[WIDTH] = scale * np.uint64(width)
    if state[WIDTH] < _SMALLEST:
        words[np.int64(state[WRITTEN])] = np.uint32(state[LOWER] >> _WORD)
        state[WRITTEN] += np.uint64(1)
        state[LOWER] <<= _WORD
        state[WIDTH] <<= _WORD


@njit(cache=True)
def _write_escape(
    words: NDArray[np.uint32], state: NDArray[np.uint64], offset: int, reach: int
) -> None:
    """What follows an escape: sign, length and excess, in fair bits."""
    _write(words, state, _HALF if offset < 0 else np.uint32(0), _HALF)
    excess = abs(offset) - reach
    length = 0
    while excess >> length:
        length += 1
    for _ in range(length - 1):
        _write(words, state, np.uint32(0), _HALF)
    for k in range(length):
        bit = excess >> (length - 1 - k) & 1
        _write(words, state, _HALF if bit else np.uint32(0), _HALF)


@njit(cache=True, nogil=True)
def encode_entries(
    flat: FlatTables,
    tables: NDArray[np.int64],
    offsets: NDArray[np.int64],
    words: NDArray[np.uint32],
    state: NDArray[np.uint64],
) -> None:
    """Encode symbols, given as tables and offsets ``(n,)``; ``words`` has room for all of them.

    ``state`` is that of a new message, and then of its end.
    """
    state[LOWER] = 0
    state[WIDTH] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    state[WRITTEN] = 0
    for k in range(len(tables)):
        table, offset = tables[k], offsets[k]
        reach = flat.reach[table >> FRACTION_BITS]
        inside = -reach <= offset <= reach
        entry = flat.start[table] + (offset + reach if inside else 2 * reach + 1)
        _write(words, state, flat.lower[entry], flat.width[entry])
        if not inside:
            _write_escape(words, state, offset, reach)
