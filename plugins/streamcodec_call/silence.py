"""Discontinuous transmission: when to stop sending, and what a listener hears then."""

from __future__ import annotations

import numpy as np

from .protocol import MAX_LEVEL

THRESHOLD_DB = -50.0
"""Level under full scale below which a piece of a block counts as silent."""

PIECE_SECONDS = 0.01
"""A block is as loud as its loudest piece of this length, so that a word that begins at a block's
end, softly, is sent with it."""

HANGOVER_SECONDS = 0.4
"""How long it must be silent before sending stops: pauses between words pass."""

DESCRIPTOR_SECONDS = 2.0
"""Between two descriptors during silence, so that one lost does not matter."""


def level_db(block: np.ndarray) -> float:
    """Root-mean-square level of ``(n,)`` or ``(n, channels)`` in dB under full scale, <= 0."""
    if not block.size:
        return -float(MAX_LEVEL)
    power = float(np.mean(np.square(block, dtype=np.float64)))
    quietest = 10.0 ** (-MAX_LEVEL / 10.0)
    return min(0.0, 10.0 * float(np.log10(max(power, quietest))))


def loudest_db(block: np.ndarray, seconds: float) -> float:
    """Level of the loudest piece of a block that lasts ``seconds``."""
    count = max(1, round(seconds / PIECE_SECONDS))
    return max(level_db(piece) for piece in np.array_split(block, count))


class SilenceGate:
    """Decide block by block whether sound is worth sending.

    Parameters
    ----------
    threshold_db : float
        Blocks with nothing above it are silent.
    """

    def __init__(self, threshold_db: float = THRESHOLD_DB) -> None:
        self._threshold = threshold_db
        self._silent_for = 0.0
        self._since_descriptor = 0.0
        self.closed = True
        """Whether nothing is sent; so it begins."""

    def push(self, block: np.ndarray, seconds: float, muted: bool = False) -> bool | None:
        """Take a block of ``seconds``; True: send it, None: send a descriptor, False: nothing."""
        if not muted and loudest_db(block, seconds) >= self._threshold:
            self._silent_for = 0.0
            self.closed = False
            return True
        self._silent_for += seconds
        if not self.closed:
            if self._silent_for <= HANGOVER_SECONDS and not muted:
                return True
            self.closed = True
            self._since_descriptor = 0.0
            return None
        self._since_descriptor += seconds
        if self._since_descriptor >= DESCRIPTOR_SECONDS:
            self._since_descriptor = 0.0
            return None
        return False
