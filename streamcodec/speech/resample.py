"""Sound at the edge: any common sample format, rate and channel count to 16 kHz mono.

The resampler is a polyphase FIR filter, a sinc under a Kaiser window (R. E. Crochiere and
L. R. Rabiner, "Multirate Digital Signal Processing", 1983, ch. 4; J. O. Smith, "Digital audio
resampling"). It is our own because of delay: libsoxr's streams, measured with blocks of 1 ms, hold
back 37 ms of 48 kHz and 116 ms of 8 kHz sound at quality HQ, for they filter long blocks by FFT,
and that is more than the codec's whole delay budget leaves. This filter holds back ``HALF_WIDTH``
periods of the lower rate and at most ``MAX_DELAY``: 4 ms for 16 kHz and more, 8 ms below.
"""

from __future__ import annotations

import math
import numbers
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamcodec.errors import InputError
from streamcodec.speech.compiled import compiled
from streamcodec.speech.geometry import SAMPLE_RATE

MIN_RATE = 4_000
"""Lowest input rate, Hz."""

MAX_RATE = 384_000
"""Highest input rate, Hz: the fastest that sound cards offer."""

MAX_CHANNELS = 64
"""Most channels of a block."""

MAX_MAGNITUDE = 8.0
"""Largest magnitude of floating-point samples: 18 dB above full scale is no longer a hot recording
but one in another unit. What lies between 1 and this is taken as it is, not clipped."""

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


class StreamingInput:
    """A stream of blocks in the caller's format, as 16 kHz mono float32.

    Output sample ``m`` stands for the instant ``m / SAMPLE_RATE``, input sample ``n`` for ``n /
    sample_rate``: the filter is centred, nothing is shifted. Positions are whole numbers, so an
    hour does not drift by a sample. At 16 kHz samples pass unchanged.

    Parameters
    ----------
    sample_rate : int
        Rate of the blocks, Hz, ``MIN_RATE`` to ``MAX_RATE``.
    channels : int
        Channels of the blocks, 1 to ``MAX_CHANNELS``; mixed down by their mean.

    Raises
    ------
    InputError
        A rate or a number of channels that cannot be taken.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE, channels: int = 1) -> None:
        if not _is_whole(sample_rate) or not MIN_RATE <= sample_rate <= MAX_RATE:
            raise InputError(
                f"expected a sample rate of {MIN_RATE} to {MAX_RATE} Hz in whole hertz, found "
                f"{sample_rate!r}; resample the recording first"
            )
        if not _is_whole(channels) or not 1 <= channels <= MAX_CHANNELS:
            raise InputError(
                f"expected 1 to {MAX_CHANNELS} channels, found {channels!r}; mix them down first"
            )
        self._sample_rate = int(sample_rate)
        self._channels = int(channels)
        self._taken = 0
        self._resampler = (
            None if sample_rate == SAMPLE_RATE else _Resampler(self._sample_rate, SAMPLE_RATE)
        )

    @property
    def sample_rate(self) -> int:
        """Rate of the blocks, Hz."""
        return self._sample_rate

    @property
    def channels(self) -> int:
        """Channels of the blocks."""
        return self._channels

    @property
    def delay(self) -> int:
        """Samples at 16 kHz that the output lags behind at most, true to the sample.

        After ``n`` input samples at least ``n * SAMPLE_RATE // sample_rate - delay`` samples
        have come out.
        """
        return 0 if self._resampler is None else self._resampler.delay

    def push(self, block: ArrayLike) -> NDArray[np.float32]:
        """Take a block and return the samples at 16 kHz that are ready.

        Parameters
        ----------
        block : array_like, shape (n,) or (n, channels)
            float32 or float64 with full scale ±1, int16 or int32; any ``n >= 0``.

        Returns
        -------
        ndarray, shape (m,), float32
            Mono sound at ``SAMPLE_RATE``, full scale ±1.

        Raises
        ------
        InputError
            Another sample format or shape, NaN, infinity or values far beyond full scale. The
            stream stands as it did before the block: a corrected one may follow.
        """
        mono = self._mono(np.asarray(block))
        self._taken += len(mono)
        return mono if self._resampler is None else self._resampler.push(mono)

    def flush(self) -> NDArray[np.float32]:
        """End the stream: return what the filter still holds and start anew.

        Returns
        -------
        ndarray, shape (m,), float32
            With it, ``n`` input samples have given ``ceil(n * SAMPLE_RATE / sample_rate)``.
        """
        rest = np.empty(0, np.float32) if self._resampler is None else self._resampler.flush()
        self._taken = 0
        return rest

    def reset(self) -> None:
        """Start a new stream: nothing of the old one is left."""
        self._taken = 0
        if self._resampler is not None:
            self._resampler.reset()

    def _mono(self, block: NDArray[np.generic]) -> NDArray[np.float32]:
        """Check a block, scale it to ±1 and mix its channels."""
        columns = self._columns(block)
        kind = (block.dtype.kind, block.dtype.itemsize)
        if kind in (("i", 2), ("i", 4)):
            full_scale = float(1 << (8 * block.dtype.itemsize - 1))
        elif kind in (("f", 4), ("f", 8)):
            full_scale = 1.0
            self._check_values(columns)
        elif block.size:
            raise InputError(
                f"expected float32, float64, int16 or int32 samples, found {block.dtype}; "
                "convert them to float32 with full scale ±1"
            )
        else:
            return np.empty(0, np.float32)
        # Channel by channel, so that the order of the sum does not hang on the memory's layout.
        total = columns[:, 0].astype(np.float64)
        for channel in range(1, self._channels):
            total += columns[:, channel]
        return (total / (full_scale * self._channels)).astype(np.float32)

    def _columns(self, block: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the block with shape (n, channels)."""
        if block.ndim == 1 and (self._channels == 1 or not block.size):
            return block.reshape(-1, self._channels)
        if block.ndim == 2 and block.shape[1] == self._channels:
            return block
        wanted = f"(n, {self._channels})" if self._channels > 1 else "(n,) or (n, 1)"
        raise InputError(
            f"expected a block of shape {wanted}, found {block.shape}; one row holds the samples "
            "of one instant, and the number of channels is fixed when the stream is made"
        )

    def _check_values(self, columns: NDArray[np.floating]) -> None:
        """Refuse NaN, infinity and values that can only be in another unit."""
        good = np.abs(columns) <= MAX_MAGNITUDE  # false for NaN too
        if good.all():
            return
        row, channel = np.argwhere(~good)[0]
        value = float(columns[row, channel])
        where = f"sample {row} of the block ({self._taken + row} of the stream)"
        if self._channels > 1:
            where += f", channel {channel}"
        if not math.isfinite(value):
            raise InputError(
                f"expected finite samples, found {value} at {where}; replace what was not "
                "recorded by zeros"
            )
        raise InputError(
            f"expected floating-point samples with full scale ±1, found {value:g} at {where}; "
            "divide 16-bit values by 32768 (or pass them as int16)"
        )


def _is_whole(value: object) -> bool:
    """Tell whether an argument is a whole number, be it written as 48000 or as 48000.0."""
    return isinstance(value, numbers.Real) and float(value).is_integer()


class _Resampler:
    """Polyphase resampling of a mono stream by a rational factor.

    With ``up / down`` the ratio of the rates in lowest terms, output ``m`` lies ``m * down / up``
    input samples into the stream: at the whole sample ``m * down // up`` plus a phase.
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
