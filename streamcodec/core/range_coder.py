"""Range coding of short messages, sealed to the fewest bytes.

The coder is ``constriction``'s (Bamler, arXiv:2201.01741): 64 bits of state, 32-bit words, 24-bit
probabilities. Two things are added here. Probabilities are handed over such that no
floating-point rounding can touch them, and a message ends at a byte instead of a word: of all
byte strings that, followed by zeros for ever, lie in the coder's final interval, the shortest is
the message. A packet of 20 bytes would otherwise pay up to 4 bytes for its end.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import constriction
import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import CorruptPacketError

FREQUENCY_BITS = 16
"""Frequencies of a model sum to ``2**FREQUENCY_BITS``."""

CODER_BITS = 24
"""Fixed-point precision of constriction's default models."""

STATE_BITS = 64
WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8

Model: TypeAlias = Any
"""A model of constriction, which has no types of its own."""


def exact_model(frequencies: NDArray[np.integer]) -> Model:
    """Make a coder model that has exactly these frequencies.

    constriction takes weights ``w`` as floats and gives symbol ``i`` of ``n`` the integer bounds
    ``floor(C_i * (2**24 - n) / C_n) + i``, where ``C`` are the running sums of ``w`` (the ``+ i``
    keeps every symbol possible). With ``w_i = 256 * f_i - 1`` the sum ``C_n`` is ``2**24 - n``,
    so the quotient is exactly 1.0; all ``C_i`` are integers below ``2**24``, exact in float64 in
    whatever order they are added; and the bounds come out as ``256 * (f_0 + ... + f_{i-1})``.
    No operation rounds, so none can round differently elsewhere. The tests read the bounds back
    out of the coder's state.

    Parameters
    ----------
    frequencies
        ``(n,)`` integers >= 1 with sum ``2**16``, n >= 2 (the caller has checked them).
    """
    unit = 1 << (CODER_BITS - FREQUENCY_BITS)
    weights = frequencies.astype(np.float64) * unit - 1.0
    return constriction.stream.model.Categorical(weights, perfect=False)


HALF: Model = exact_model(np.array([1 << (FREQUENCY_BITS - 1)] * 2))
"""A fair bit."""


def seal_interval(lower: int, width: int, bits: int) -> bytes:
    """The shortest byte string in ``[lower, lower + width) / 2**bits``; the lowest of several."""
    if lower == 0:
        return b""
    # Some multiple of 2**m lies in [lower, upper] iff lower - 1 and upper differ at or above
    # bit m; the highest such m leaves the fewest bytes in front of it.
    upper = lower + width - 1
    zeros = ((lower - 1) ^ upper).bit_length() - 1
    zeros -= zeros % 8
    return (-(-lower >> zeros)).to_bytes((bits - zeros) // 8, "big")


class RangeEncoder:
    """Encodes symbols, first in first out."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self.encode = self._coder.encode
        """``encode(symbol, model)``: append one symbol, an index into the model."""

    def seal(self) -> bytes:
        """Return the message so far, as the shortest byte string that decodes to it.

        Of several shortest ones it is the lowest, so equal symbols give equal bytes.
        """
        return seal_interval(*self._interval())

    def _interval(self) -> tuple[int, int, int]:
        """Lower end and width of the final interval, and the bits they are written in.

        constriction tells the state's 64 low bits of the lower end. The words before it may
        still change by a carry, but the sealed words are a number inside the interval, and only
        one number with these low bits lies less than ``2**64`` below it.
        """
        position, (low, width) = self._coder.pos()
        bits = WORD_BITS * position + STATE_BITS
        words = self._coder.get_compressed()
        inside = int.from_bytes(words.astype(">u4").tobytes(), "big")
        inside <<= bits - WORD_BITS * len(words)
        return inside - ((inside - low) & ((1 << STATE_BITS) - 1)), width, bits


class RangeDecoder:
    """Decodes what :class:`RangeEncoder` sealed; reads zeros behind the end."""

    def __init__(self, payload: bytes) -> None:
        self._payload = bytes(payload)
        padded = self._payload + bytes(-len(self._payload) % WORD_BYTES)
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._mirror = RangeEncoder()

    def decode(self, model: Model) -> int:
        """Return the next symbol, an index into the model.

        Raises
        ------
        CorruptPacketError
            No symbol of the model leads to these bytes.
        """
        try:
            symbol = self._coder.decode(model)
        except AssertionError as error:  # constriction's word for a point outside every symbol
            raise CorruptPacketError(
                "the payload is not a range-coded message of this model; conceal this packet"
            ) from error
        self._mirror.encode(symbol, model)
        return int(symbol)

    def finish(self) -> None:
        """Check that the message ends here.

        The decoded symbols are encoded again on the way (some 0.3 microseconds each); their seal
        must be the payload: then an encoder of these symbols ended in the same state. (A message
        cut short is mostly the seal of other symbols. A packet's check has to find that.)

        Raises
        ------
        CorruptPacketError
            The payload is not what the decoded symbols encode to.
        """
        if self._mirror.seal() != self._payload:
            raise CorruptPacketError(
                f"the payload of {len(self._payload)} bytes is not the sealed form of the symbols "
                "in it: bytes were added or changed; conceal this packet"
            )
