"""Change of the sampling rate by a ratio that may move a little from block to block.

A windowed sinc, looked up at the phase of each output (J. O. Smith, "Digital Audio Resampling").
Two sound cards never run at quite the same rate; the ratio between them is steered so that the
queue in front of the speaker neither grows nor runs dry (:mod:`streamcodec_loopback.drift`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

HALF_WIDTH = 48
"""Half the filter's length in periods of the lower rate: 3 ms at 16 kHz."""

ATTENUATION = 80.0
"""Stop-band attenuation, dB: below the noise of 16-bit samples over the speech band."""

PHASES = 512
"""Phases of the filter in memory; between two of them it is interpolated linearly, with an error
below -100 dB."""

PIECE = 256
"""Outputs computed at once: their arrays of 100 kB fit the cache, and are small enough for the
allocator to keep instead of asking the system for memory each time."""


class VariableResampler:
    """Resampling of a mono stream by ``to_rate / from_rate`` times a factor near one.

    Parameters
    ----------
    from_rate, to_rate : int
        Nominal rates, Hz.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._step = from_rate / to_rate
        lower = min(from_rate, to_rate)
        self._half = math.ceil(HALF_WIDTH * from_rate / lower)
        self._bank = _filter_bank(from_rate, to_rate, self._half)
        self.reset()

    @property
    def delay(self) -> float:
        """Seconds of input that an output waits for at most, as a number of input samples."""
        return float(self._half)

    @property
    def pending(self) -> float:
        """Input samples taken that lie behind the next output."""
        return len(self._held) - self._position

    def reset(self) -> None:
        """Begin a new stream: silence lies before it."""
        self._held = np.zeros(self._half, np.float32)
        self._position = float(self._half)

    def push(self, samples: np.ndarray, stretch: float = 1.0) -> np.ndarray:
        """Take samples and give the outputs whose filter lies in what has come.

        Parameters
        ----------
        samples : ndarray
            float32 ``(n,)``.
        stretch : float
            Outputs are this factor more than the nominal ratio says; near 1.

        Returns
        -------
        ndarray
            float32 ``(m,)``.
        """
        held = np.concatenate([self._held, samples])
        step = self._step / stretch
        ready = max(0, math.ceil((len(held) - self._half - self._position) / step))
        windows = sliding_window_view(held, 2 * self._half) if ready else None
        parts = [np.empty(0, np.float32)]
        for begin in range(0, ready, PIECE):
            numbers = np.arange(begin, min(begin + PIECE, ready))
            where = self._position + numbers * step
            whole = np.floor(where).astype(np.int64)
            row, between = np.divmod((where - whole) * PHASES, 1.0)
            rows = row.astype(np.int64)
            share = between.astype(np.float32)[:, None]
            weights = self._bank[rows] * (1 - share) + self._bank[rows + 1] * share
            # Rounding may put the last output's filter one sample past what is there.
            first = np.minimum(whole - self._half + 1, len(held) - 2 * self._half)
            parts.append(np.einsum("ij,ij->i", windows[first], weights))  # type: ignore[index]
        position = self._position + ready * step
        used = max(0, min(math.floor(position) - self._half + 1, len(held)))
        self._held = held[used:].copy()
        self._position = position - used
        return np.concatenate(parts)


def _filter_bank(from_rate: int, to_rate: int, half: int) -> np.ndarray:
    """Sample the low-pass filter at every phase: float32 ``(PHASES + 1, 2 * half)``."""
    # Kaiser's formulas (Oppenheim and Schafer, "Discrete-Time Signal Processing", sec. 7.6).
    beta = 0.1102 * (ATTENUATION - 8.7)
    transition = (ATTENUATION - 8.0) / (2.285 * 2.0 * math.pi) * from_rate / (2 * half)
    cutoff = min(from_rate, to_rate) / 2.0
    if to_rate < from_rate:
        cutoff -= transition / 2.0  # nothing may fold back into the speech band
    offset = np.arange(-half + 1, half + 1) - np.arange(PHASES + 1)[:, None] / PHASES
    window = np.i0(beta * np.sqrt(np.clip(1.0 - (offset / half) ** 2, 0.0, None))) / np.i0(beta)
    bank = np.sinc(2.0 * cutoff / from_rate * offset) * window
    # Every phase passes a constant unchanged, so none is louder than another.
    return (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
