"""Export of the trained prior: floating-point network to integer network and tables.

The coder runs integers only (:mod:`streamcodec.core.entropy`); here they are made, once, in
floating point. Weights and hidden units become 16-bit fixed-point numbers, with as many
fractional bits as keep every possible 32-bit sum from overflowing.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from streamcodec.core import integer_network as net
from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.prior_file import PRIOR_VERSION
from streamcodec.core.range_coder import FREQUENCY_BITS
from streamcodec.nn.prior import HIDDEN_BITS, MAX_LOG_SCALE, MIN_LOG_SCALE, MaskedPrior

SCALES = 64
"""Table scales, geometric from MIN_LOG_SCALE to MAX_LOG_SCALE: neighbours differ by 11 %."""

INPUT_BITS = 8
"""Fractional bits of a network input (a symbol over its rate's scale): |input| < 128. Hidden units
have :data:`streamcodec.nn.prior.HIDDEN_BITS`: 0 <= unit < 256."""

MULTIPLIER_BITS = 16
"""Fractional bits of the factors that turn symbols into inputs and outputs into parameters."""

TAIL = 2.0**-12
"""Probability beyond the reach of a table, on the heavier side, at most; smaller tails would
make wider tables, larger ones would spend bits on escapes."""

MIN_REACH = 3
"""Even the narrowest distribution meets surprises: give them 16 bits each, no escape."""

INT16_MAX = (1 << 15) - 1


def integer_prior(prior: MaskedPrior) -> tuple[dict[str, NDArray[np.integer]], dict[str, int]]:
    """Integer form of a trained prior: the tensors and metadata that :class:`IntegerPrior` takes.

    Raises
    ------
    ModelError
        The weights are too large for the integer form (no trained prior should be).
    """
    weights = {k: v.detach().double().cpu().numpy() for k, v in prior.state_dict().items()}
    scale = weights["rate_scales"]
    context = weights["context.weight"]
    current = weights["current.weight"] * weights["current_mask"]
    middle = weights["middle.weight"] * weights["middle_mask"]
    output = weights["output.weight"] * weights["output_mask"]

    first_bits = _weight_bits([context, current], weights["rate_bias"], INPUT_BITS)
    middle_bits = _weight_bits([middle], weights["middle.bias"][None], HIDDEN_BITS)
    output_bits = _weight_bits([output], weights["output.bias"][None], HIDDEN_BITS)
    sum_bits = HIDDEN_BITS + output_bits

    steps_per_log = (SCALES - 1) / (MAX_LOG_SCALE - MIN_LOG_SCALE)
    # Halves are added here, so the coder's shift rounds to the nearest scale.
    offset = (np.log(scale) - MIN_LOG_SCALE) * steps_per_log + 0.5
    reach, frequencies = logistic_tables()
    metadata = {
        "version": PRIOR_VERSION,
        "context_steps": prior.context_steps,
        "input_shift": MULTIPLIER_BITS - INPUT_BITS,
        "first_shift": INPUT_BITS + first_bits - HIDDEN_BITS,
        "middle_shift": middle_bits,
        "output_shift": sum_bits + MULTIPLIER_BITS,
        "scale_multiplier": round(steps_per_log * 2**MULTIPLIER_BITS),
        "scales": SCALES,
    }
    tensors: dict[str, NDArray[np.integer]] = {
        "context": _fixed(context.T, first_bits, np.int16),
        "current": _fixed(current.T, first_bits, np.int16),
        "middle": _fixed(middle.T, middle_bits, np.int16),
        "output": _fixed(output.T, output_bits, np.int16),
        "first_bias": _fixed(weights["rate_bias"], INPUT_BITS + first_bits, np.int32),
        "middle_bias": _fixed(weights["middle.bias"], HIDDEN_BITS + middle_bits, np.int32),
        "output_bias": _fixed(weights["output.bias"], sum_bits, np.int32),
        "input_multiplier": _fixed(1.0 / scale, MULTIPLIER_BITS, np.int64),
        "location_multiplier": _fixed(net.FRACTIONS * scale, MULTIPLIER_BITS, np.int64),
        "scale_offset": _fixed(offset, sum_bits + MULTIPLIER_BITS, np.int64),
        "table_reach": reach,
        "table_frequencies": frequencies,
    }
    IntegerPrior(tensors, metadata)  # raises what a reader would raise
    return tensors, metadata


def logistic_tables() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Frequency tables of discretized logistics for all scales and fractional locations.

    Every entry gets one unit of ``2**16``; the rest is shared out by probability, with the
    largest remainders rounded up.

    Returns
    -------
    reach, frequencies
        As :class:`streamcodec.core.tables.FrequencyTables` takes them.
    """
    scales = np.exp(np.linspace(MIN_LOG_SCALE, MAX_LOG_SCALE, SCALES))
    reach = np.maximum(MIN_REACH, np.ceil(-math.log(TAIL) * scales)).astype(np.int64)
    tables = []
    for scale, span in zip(scales, reach, strict=True):
        for fraction in range(net.FRACTIONS):
            location = fraction / net.FRACTIONS - 0.5
            edges = (np.arange(-span, span + 2) - 0.5 - location) / scale
            # The interval is taken on the side where the logistic function does not saturate.
            left = edges[:-1] + edges[1:] < 0
            below = np.where(left, _sigmoid(edges[:-1]), _sigmoid(-edges[1:]))
            above = np.where(left, _sigmoid(edges[1:]), _sigmoid(-edges[:-1]))
            escape = _sigmoid(edges[:1]) + _sigmoid(-edges[-1:])
            tables.append(_apportioned(np.concatenate([above - below, escape])))
    return reach.astype(np.uint16), np.concatenate(tables).astype(np.uint16)


def rate_loss(
    prior: MaskedPrior,
    integers: IntegerPrior,
    symbols: NDArray[np.int32],
    rate: int,
    steps_per_packet: int = 2,
    refresh: int = 25,
) -> dict[str, float]:
    """Compare float and integer prior on symbols ``(n, steps, latent_dim)``, in bits a step.

    ``float`` and ``integer`` are information, ``packets`` the payload bytes that the coder
    really makes. Contexts start anew every ``refresh`` packets, as in a stream.
    """
    span = refresh * steps_per_packet
    steps = symbols.shape[1] // steps_per_packet * steps_per_packet
    spent = {"float": 0.0, "integer": 0.0, "packets": 0.0}
    for begin in range(0, steps, span):
        part = symbols[:, begin : min(begin + span, steps)]
        values = torch.from_numpy(part.astype(np.float32))
        past = torch.zeros(len(part), prior.context_steps, prior.latent_dim)
        with torch.no_grad():
            rates = torch.full((len(part),), rate)
            spent["float"] += float(prior.bits(values, values, past, rates).sum())
        for sequence in part:
            context = integers.initial_context()
            for k in range(0, len(sequence), steps_per_packet):
                packet = sequence[k : k + steps_per_packet]
                spent["integer"] += integers.bits(packet, context, rate)
                payload, context = integers.encode(packet, context, rate)
                spent["packets"] += 8 * len(payload)
    return {name: bits / (len(symbols) * steps) for name, bits in spent.items()}


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -700.0, 700.0)))


def _apportioned(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positive integers with sum ``2**16`` in proportion to ``probabilities``."""
    spare = (1 << FREQUENCY_BITS) - len(probabilities)
    share = probabilities / probabilities.sum() * spare
    whole = np.floor(share).astype(np.int64)
    largest = np.argsort(whole - share, kind="stable")[: spare - int(whole.sum())]
    whole[largest] += 1
    return whole + 1


def _weight_bits(
    weights: list[NDArray[np.float64]], bias: NDArray[np.float64], input_bits: int
) -> int:
    """Fractional bits for the weights ``(units, inputs)`` of a layer.

    As many as keep the weights in 16 bits and the largest possible sum, with inputs at their
    clamp, in 32.
    """
    peak = max(float(np.abs(w).max()) for w in weights)
    inputs = sum(w.shape[1] for w in weights)
    total = float(np.max(sum(np.abs(w).sum(axis=1) for w in weights)))
    largest_bias = float(np.abs(bias).max())
    for bits in reversed(range(1, 16)):
        # Rounding may add half a unit to each weight and to the bias, and the shift as much
        # again as its own half.
        bound = (total * 2**bits + inputs / 2) * net.MAX_ACTIVATION
        bound += largest_bias * 2 ** (bits + input_bits) + 2 ** (bits + input_bits) + 1
        if peak * 2**bits < INT16_MAX and bound < net.INT32_MAX:
            return bits
    return 1


def _fixed(values: NDArray[np.float64], bits: int, dtype: type) -> NDArray[np.integer]:
    limits = np.iinfo(dtype)
    return np.clip(np.round(values * 2.0**bits), limits.min, limits.max).astype(dtype, order="C")
