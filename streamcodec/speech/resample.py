"""Sound at the edge: any common sample format, rate and channel count to 16 kHz mono.

Blocks are checked before anything is taken from them, so a block that cannot be coded leaves
the stream as it was.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamcodec.errors import InputError
from streamcodec.speech.geometry import SAMPLE_RATE
from streamcodec.speech.polyphase import PolyphaseResampler

MIN_RATE = 4_000
"""Lowest input rate, Hz."""

MAX_RATE = 384_000
"""Highest input rate, Hz: the fastest that sound cards offer."""

MAX_CHANNELS = 64
"""Most channels of a block."""

MAX_MAGNITUDE = 8.0
"""Largest magnitude of floating-point samples: 18 dB above full scale is no longer a hot recording
but one in another unit. What lies between 1 and this is taken as it is, not clipped."""


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
            None
            if sample_rate == SAMPLE_RATE
            else PolyphaseResampler(self._sample_rate, SAMPLE_RATE)
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

    def _mono(self, block: NDArray[Any]) -> NDArray[np.float32]:
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

    def _columns(self, block: NDArray[Any]) -> NDArray[Any]:
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
