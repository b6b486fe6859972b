"""The prior network in integers: same bits on every machine, one channel at a time.

The integer form of :class:`streamcodec.nn.prior.MaskedPrior`. Hidden unit ``i`` of either layer
has degree ``i // (hidden / latent_dim)``: it may see symbols of lower channels only, and channel
``c`` sees hidden units of degree ``<= c``. So each unit is computed once, as soon as the symbols
it depends on are known, and its value is pushed into the sums that it is part of. A decoder
alternates between asking for the distribution of a channel and telling its symbol; an encoder
runs the same functions over known symbols.

Sums are 32-bit and cannot overflow: the check of the weights bounds them (:func:`overflows`).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integer: TypeAlias = int | np.integer

FRACTIONS = 16
"""Locations have a resolution of 1/16; tables are made for each of the 16 places in between."""

FRACTION_BITS = 4

MAX_SYMBOL = 32767
"""Symbols and locations stay within -MAX_SYMBOL..MAX_SYMBOL."""

MAX_ACTIVATION = 32767
"""Network inputs are clamped to -MAX_ACTIVATION..MAX_ACTIVATION, hidden units to 0..MAX."""

INT32_MAX = (1 << 31) - 1

# Positions in IntegerNetwork.layout.
VERSION, CONTEXT_STEPS, INPUT_SHIFT, FIRST_SHIFT, MIDDLE_SHIFT, OUTPUT_SHIFT = range(6)
SCALE_MULTIPLIER, SCALES = 6, 7


class IntegerNetwork(NamedTuple):
    """Weights, transposed so that what one input adds lies in one row.

    T context steps, D channels, H hidden units, R rates. ``bitstream.md`` defines every field.
    """

    layout: NDArray[np.int64]
    """``(8,)``: version, T, shifts after input, first, middle and output, scale multiplier, and
    the number of scales."""
    context: NDArray[np.int16]
    """``(T * D, H)``, oldest step first."""
    current: NDArray[np.int16]
    """``(D, H)``"""
    middle: NDArray[np.int16]
    """``(H, H)``"""
    output: NDArray[np.int16]
    """``(H, 2 * D)``, locations then log-scales."""
    first_bias: NDArray[np.int32]
    """``(R, H)``"""
    middle_bias: NDArray[np.int32]
    """``(H,)``"""
    output_bias: NDArray[np.int32]
    """``(2 * D,)``"""
    input_multiplier: NDArray[np.int64]
    """``(R,)``: what turns a symbol into a network input."""
    location_multiplier: NDArray[np.int64]
    """``(R,)``: what turns an output into a location in sixteenths."""
    scale_offset: NDArray[np.int64]
    """``(R,)``: what is added to ``scale multiplier * output`` before the output shift."""


class Sums(NamedTuple):
    """Sums of one latent step in the making."""

    first: NDArray[np.int32]
    """``(H,)``"""
    middle: NDArray[np.int32]
    """``(H,)``"""
    output: NDArray[np.int32]
    """``(2 * D,)``"""


def empty_sums(network: IntegerNetwork) -> Sums:
    """Room for the sums of one step."""
    hidden, outputs = network.output.shape
    return Sums(np.empty(hidden, np.int32), np.empty(hidden, np.int32), np.empty(outputs, np.int32))


def overflows(network: IntegerNetwork) -> bool:
    """Whether any input could take a 32-bit sum out of range, rounding included."""

    def largest(weights: list[NDArray[np.int16]], bias: NDArray[np.int32], shift: int) -> int:
        rows = sum(np.abs(w.astype(np.int64)).sum(axis=0) for w in weights)
        bound = rows * MAX_ACTIVATION + np.abs(bias.astype(np.int64)) + (1 << shift)
        return int(np.max(bound))

    shifts = [int(s) for s in network.layout]
    bounds = (
        largest([network.context, network.current], network.first_bias, shifts[FIRST_SHIFT]),
        largest([network.middle], network.middle_bias, shifts[MIDDLE_SHIFT]),
        largest([network.output], network.output_bias, 0),
    )
    return max(bounds) > INT32_MAX


@njit(cache=True, inline="always")
def _rescaled(value: Integer, multiplier: Integer, shift: Integer) -> np.int64:
    """Multiply and shift right, rounding to nearest, halves up."""
    return (np.int64(value) * multiplier + (np.int64(1) << (shift - 1))) >> shift


@njit(cache=True, inline="always")
def _clamped(value: np.int64, low: Integer, high: Integer) -> np.int64:
    return np.int64(low) if value < low else np.int64(high) if value > high else value


@njit(cache=True, inline="always")
def _add_scaled(row: NDArray[np.int16], x: np.int32, total: NDArray[np.int32]) -> None:
    """``total += row * x``; over whole slices, as numba vectorizes only indices from zero."""
    for j in range(len(total)):
        total[j] += np.int32(row[j]) * x


@njit(cache=True)
def _add_input(
    network: IntegerNetwork,
    rate: int,
    row: NDArray[np.int16],
    symbol: int,
    start: int,
    first: NDArray[np.int32],
) -> None:
    """Add what a symbol says to the first layer, from unit ``start`` on."""
    x = _rescaled(symbol, network.input_multiplier[rate], network.layout[INPUT_SHIFT])
    if x != 0:
        clamped = np.int32(_clamped(x, -MAX_ACTIVATION, MAX_ACTIVATION))
        _add_scaled(row[start:], clamped, first[start:])


@njit(cache=True)
def _add_past(
    network: IntegerNetwork,
    rate: int,
    past: NDArray[np.int32],
    tap: int,
    first: NDArray[np.int32],
) -> None:
    """Add what consecutive past steps say, of which the first is at ``tap`` of the context."""
    steps, channels = past.shape
    for k in range(steps):
        for c in range(channels):
            row = network.context[(tap + k) * channels + c]
            _add_input(network, rate, row, past[k, c], 0, first)


@njit(cache=True)
def start_step(network: IntegerNetwork, rate: int, past: NDArray[np.int32], sums: Sums) -> None:
    """Begin a latent step: biases, and what the past ``(T, D)`` symbols say."""
    sums.first[:] = network.first_bias[rate]
    sums.middle[:] = network.middle_bias
    sums.output[:] = network.output_bias
    _add_past(network, rate, past, 0, sums.first)


@njit(cache=True)
def tell(network: IntegerNetwork, rate: int, channel: int, symbol: int, sums: Sums) -> None:
    """Take the symbol of ``channel`` in."""
    per_channel = len(sums.first) // network.current.shape[0]
    row = network.current[channel]
    _add_input(network, rate, row, symbol, (channel + 1) * per_channel, sums.first)


@njit(cache=True)
def ask(network: IntegerNetwork, rate: int, channel: int, sums: Sums) -> tuple[int, int]:
    """Table and center for the symbol of ``channel``, all lower channels being told.

    Returns ``(table, center)``: the table is ``scale * 16 + fraction``; the location that it is
    made for is ``center + (fraction - 8) / 16``.
    """
    layout = network.layout
    hidden, channels = len(sums.first), network.current.shape[0]
    per_channel = hidden // channels
    begin, end = channel * per_channel, (channel + 1) * per_channel
    first, middle, output = sums.first, sums.middle, sums.output
    for i in range(begin, end):
        h = _rescaled(first[i], 1, layout[FIRST_SHIFT])
        if h > 0:
            clamped = np.int32(_clamped(h, 0, MAX_ACTIVATION))
            _add_scaled(network.middle[i, begin:], clamped, middle[begin:])
    for i in range(begin, end):
        h = _rescaled(middle[i], 1, layout[MIDDLE_SHIFT])
        if h > 0:
            clamped = np.int32(_clamped(h, 0, MAX_ACTIVATION))
            row = network.output[i]
            _add_scaled(row[channel:channels], clamped, output[channel:channels])
            _add_scaled(row[channels + channel :], clamped, output[channels + channel :])
    shift = layout[OUTPUT_SHIFT]
    location = _rescaled(output[channel], network.location_multiplier[rate], shift)
    limit = MAX_SYMBOL * FRACTIONS
    location = _clamped(location, -limit, limit) + FRACTIONS // 2
    scale = output[channels + channel] * layout[SCALE_MULTIPLIER] + network.scale_offset[rate]
    scale = _clamped(scale >> shift, 0, layout[SCALES] - 1)
    return int(scale * FRACTIONS + (location & (FRACTIONS - 1))), int(location >> FRACTION_BITS)


@njit(cache=True)
def tell_and_ask(
    network: IntegerNetwork, rate: int, channel: int, previous: int, sums: Sums
) -> tuple[int, int]:
    """One step of a decoder: take the symbol of the channel below in, ask for this channel."""
    if channel > 0:
        tell(network, rate, channel - 1, previous, sums)
    return ask(network, rate, channel, sums)


@njit(cache=True)
def distributions(
    network: IntegerNetwork,
    rate: int,
    sequence: NDArray[np.int32],
    sums: Sums,
    tables: NDArray[np.int64],
    centers: NDArray[np.int64],
) -> None:
    """Tables and centers of all symbols of a sequence.

    ``sequence`` ``(T + steps, D)`` are the context and the symbols, ``tables`` and ``centers``
    ``(steps, D)`` take the result.
    """
    context_steps = network.layout[CONTEXT_STEPS]
    steps, channels = tables.shape
    for n in range(steps):
        start_step(network, rate, sequence[n : n + context_steps], sums)
        for c in range(channels):
            tables[n, c], centers[n, c] = ask(network, rate, c, sums)
            tell(network, rate, c, sequence[context_steps + n, c], sums)


@njit(cache=True)
def candidate_distributions(
    network: IntegerNetwork,
    rate: int,
    context: NDArray[np.int32],
    candidates: NDArray[np.int32],
    sums: Sums,
    tables: NDArray[np.int64],
    centers: NDArray[np.int64],
) -> None:
    """Tables and centers of many candidates ``(n, steps, D)`` that share a context ``(T, D)``.

    Equal to :func:`distributions` of each, but the context is read once for all.
    """
    count, steps, channels = candidates.shape
    depth = len(context)
    shared = np.empty((steps, len(sums.first)), np.int32)
    for n in range(steps):
        shared[n] = network.first_bias[rate]
        _add_past(network, rate, context[min(n, depth) :], 0, shared[n])
    for k in range(count):
        for n in range(steps):
            sums.first[:] = shared[n]
            sums.middle[:] = network.middle_bias
            sums.output[:] = network.output_bias
            own = candidates[k, max(0, n - depth) : n]
            _add_past(network, rate, own, depth - len(own), sums.first)
            for c in range(channels):
                tables[k, n, c], centers[k, n, c] = ask(network, rate, c, sums)
                tell(network, rate, c, candidates[k, n, c], sums)
