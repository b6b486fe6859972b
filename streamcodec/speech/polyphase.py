"""Streaming change of the sampling rate by a polyphase FIR filter: a sinc under a Kaiser window.

After R. E. Crochiere and L. R. Rabiner, "Multirate Digital Signal Processing", 1983, ch. 4, and
J. O. Smith, "Digital Audio Resampling". It is our own because of delay: the streams of libsoxr,
measured with blocks of 1 ms, hold back 37 ms of 48 kHz and 116 ms of 8 kHz sound (quality HQ),
for they filter long blocks by FFT, and the codec's delay has no room for that. This filter holds
back ``HALF_WIDTH`` periods of the lower rate and at most ``MAX_DELAY``: 4 ms for rates of
16 kHz and more, 8 ms from 8 kHz down.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from streamcodec.speech.compiled import compiled

HALF_WIDTH = 64
"""Half the filter's length in periods of the lower of the two rates."""

MAX_DELAY = 0.008
"""Most seconds that the filter may wait: keeps the low-delay profile (70 ms) below 80 ms."""

ATTENUATION = 80.0
"""Stop-band attenuation, dB: below the noise of 16-bit samples over the speech band."""

PHASE_DENSITY = 1024
"""Most phases of the filter in memory, for each period of the lower rate. Ratios that need more
(16001 Hz needs 16000) interpolate linearly between two phases, an error below -100 dB."""

PIECE = 1 << 16
"""Most input samples filtered at once: bounds the working memory under a block of any length."""


class PolyphaseResampler:
    """Polyphase resampling of a mono stream by a rational factor.

    With ``up / down`` the ratio of the rates in lowest terms, output ``m`` lies ``m * down / up``
    input samples into the stream: at the whole sample ``m * down // up`` plus a phase.

    Parameters
    ----------
    from_rate, to_rate : int
        Rates of input and output, Hz.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        ratio = Fraction(to_rate, from_rate)
        self._up, self._down = ratio.numerator, ratio.denominator
        lower = min(from_rate, to_rate)
        seconds = min(HALF_WIDTH / lower, MAX_DELAY)
        self._half = round(seconds * from_rate)
        phases = min(self._up, _ceil_divide(PHASE_DENSITY * lower, from_rate))
        self._bank = _filter_bank(from_rate, lower / 2, self._half, phases)
        self.reset()
        self.flush()  # has the loop compiled or loaded now, not in the first push of a live stream

    @property
    def delay(self) -> int:
        """Output samples that are missing at most, against an ideal resampler."""
        return self._half * self._up // self._down

    def reset(self) -> None:
        """Start anew: silence lies before the stream."""
        self._history = np.zeros(self._half, dtype=np.float32)
        self._history_at = -self._half  # position of its first sample in the stream
        self._taken = 0
        self._given = 0

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples and return the outputs whose whole filter lies in what has come."""
        parts = [np.empty(0, np.float32)]
        for begin in range(0, len(samples), PIECE):
            piece = samples[begin : begin + PIECE]
            self._taken += len(piece)
            # Output m needs the input up to m * down // up + half, so m * down / up must be
            # less than taken - half.
            ready = _ceil_divide((self._taken - self._half) * self._up, self._down)
            parts.append(self._filter(piece, ready))
        return np.concatenate(parts)

    def flush(self) -> NDArray[np.float32]:
        """Return the outputs up to the end of the input, as if silence followed, and reset."""
        silence = np.zeros(self._half, dtype=np.float32)
        rest = self._filter(silence, _ceil_divide(self._taken * self._up, self._down))
        self.reset()
        return rest

    def _filter(self, samples: NDArray[np.float32], end: int) -> NDArray[np.float32]:
        """Add samples to the history and compute outputs up to number ``end``."""
        held = np.concatenate([self._history, samples])
        output = np.empty(max(0, end - self._given), dtype=np.float32)
        # The first output's position relative to what is held, as a whole part and a phase.
        whole, phase = divmod(self._given * self._down, self._up)
        start = whole - self._half + 1 - self._history_at
        _polyphase(held, start, phase, self._up, self._down, self._bank, output)
        self._given += len(output)
        next_start = self._given * self._down // self._up - self._half + 1
        dropped = min(max(0, next_start - self._history_at), len(held))
        self._history = held[dropped:].copy()
        self._history_at += dropped
        return output


def _filter_bank(rate: int, nyquist: float, half: int, phases: int) -> NDArray[np.float64]:
    """Design the low-pass filter and sample it at every phase.

    Parameters
    ----------
    rate : int
        Input rate, Hz.
    nyquist : float
        Half the lower rate, Hz, where the stop band begins.
    half : int
        Half the filter's length, input samples.
    phases : int
        Phases between two input samples.

    Returns
    -------
    ndarray, shape (phases + 1, 2 * half), float64
        Row ``p`` holds the weights of the samples ``-half + 1 ... half`` around an output that
        lies ``p / phases`` behind sample 0; the last row lets two rows be interpolated.
    """
    # Kaiser's formulas (Oppenheim and Schafer, "Discrete-Time Signal Processing", sec. 7.6).
    beta = 0.1102 * (ATTENUATION - 8.7)
    transition = (ATTENUATION - 8.0) / (2.285 * 2.0 * math.pi) * rate / (2 * half)  # Hz
    cutoff = nyquist - transition / 2.0
    offset = np.arange(-half + 1, half + 1) - np.arange(phases + 1)[:, None] / phases
    inside = np.clip(1.0 - (offset / half) ** 2, 0.0, None)
    window = np.i0(beta * np.sqrt(inside)) / np.i0(beta)
    bank = np.sinc(2.0 * cutoff / rate * offset) * window
    # Every phase passes a constant unchanged, so none is louder than another.
    return bank / bank.sum(axis=1, keepdims=True)


def _ceil_divide(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


@compiled
def _polyphase(
    samples: NDArray[np.float32],
    start: int,
    phase: int,
    up: int,
    down: int,
    bank: NDArray[np.float64],
    output: NDArray[np.float32],
) -> None:
    """Fill ``output``; its first filter starts at ``samples[start]`` with ``phase / up``."""
    phases, half = bank.shape[0] - 1, bank.shape[1] // 2
    for m in range(len(output)):
        row = phase * phases // up
        between = phase * phases % up / up
        # Two sums at a time, the filter's halves: one addition need not wait for the other.
        left, right = 0.0, 0.0
        for i in range(half):
            left += bank[row, i] * samples[start + i]
            right += bank[row, half + i] * samples[start + half + i]
        total = left + right
        if between:
            left, right = 0.0, 0.0
            for i in range(half):
                left += bank[row + 1, i] * samples[start + i]
                right += bank[row + 1, half + i] * samples[start + half + i]
            total += between * (left + right - total)
        output[m] = total
        phase += down
        start += phase // up
        phase %= up
