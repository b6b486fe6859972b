"""Samples between a sound card's callback and the codec's thread, without locks.

A ring has one writer and one reader, so that two counters are all there is to agree on (L.
Lamport, "Specifying Concurrent Program Modules", 1983): only the writer moves ``WRITTEN``, only
the reader moves ``READ``, and each is moved after the samples it stands for.

The callbacks are compiled to C functions that PortAudio calls by address. They neither allocate
nor block, and above all they never wait for Python: its interpreter lock may be held for
milliseconds by the codec's thread, which is longer than a sound card waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import carray, types
from numba.extending import intrinsic

# The ring's memory is one array of float64: counters (whole numbers up to 2**53 are exact), then
# samples. A C function then needs one pointer and no layout that could differ between systems.
MASK = 0
"""Samples that fit minus one; their number is a power of two, so positions wrap with ``&``."""

WRITTEN, READ = 1, 2
"""Samples that went in and out since the beginning; the ring holds the difference."""

CHANNELS, CHANNEL_SHARE = 3, 4
"""Channels of the device, and one over them. The ring itself is mono."""

LATENCY = 5
"""Seconds that the device adds, for drivers that do not stamp their blocks."""

STAMPS, STAMP_POSITION, STAMP_TIME = 6, 7, 8
"""Position of the newest block's first sample and when it meets the air, on PortAudio's clock.
``STAMPS`` is odd while the two are being changed (a sequence lock)."""

CALLBACKS, EVENTS, MISSING, DRIVER_EVENTS = 9, 10, 11, 12
"""Calls; how often the ring ran dry (output) or full (input); samples that were missing or lost;
calls in which the driver itself reported a loss."""

STARTED, LAST, FADE_IN, FADE_IN_STEP, DECAY = 13, 14, 15, 16, 17
"""Of the output: whether sound has come; the last value played; gain of sound that returns after
a gap, its growth a sample; factor a sample on the last value during a gap."""

HEADER = 32

INPUT_OVERFLOW, OUTPUT_UNDERFLOW = 0x2, 0x4
"""PortAudio's ``PaStreamCallbackFlags``."""

GAP_FADE_SECONDS = 0.005
"""Sound dies away and returns in about this time, so that a gap does not click."""


def _full_fence(_context: Any) -> Any:
    """Keep the order of memory accesses before and after, as seen by the other side."""

    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


_fence: Any = intrinsic(_full_fence)


def _cached(decorate: Callable[..., Any]) -> Any:
    """Keep compiled code on disk; without a folder that may be written, compile each time."""
    try:
        return decorate(cache=True)
    except RuntimeError:  # "no locator available"
        return decorate(cache=False)


def _callback(function: Callable[..., int]) -> Any:
    """Compile a ``PaStreamCallback``: input, output, frames, times, flags, user data."""
    samples, doubles = types.CPointer(types.float32), types.CPointer(types.float64)
    unsigned_long = numba.from_dtype(np.dtype("L"))
    signature = types.intc(samples, samples, unsigned_long, doubles, unsigned_long, doubles)
    return _cached(lambda cache: numba.cfunc(signature, cache=cache)(function))


def _compiled(function: Callable[..., Any]) -> Any:
    return _cached(lambda cache: numba.njit(cache=cache)(function))


def _store_after(memory: np.ndarray, index: int, value: float) -> None:
    """Store a counter after everything that was stored before."""
    _fence()
    memory[index] = value


def _load_before(memory: np.ndarray, index: int) -> float:
    """Load a counter before everything that is loaded afterwards."""
    value = memory[index]
    _fence()
    return value


_store_after, _load_before = _compiled(_store_after), _compiled(_load_before)


@_callback
def capture(sound, _output, frames, times, flags, memory):  # type: ignore[no-untyped-def]
    """Take a block from the microphone; what does not fit is lost and counted."""
    header = carray(memory, (HEADER,))
    mask = np.int64(header[MASK])
    samples = carray(memory, (HEADER + mask + 1,))
    count, channels = np.int64(frames), np.int64(header[CHANNELS])
    block = carray(sound, (count * channels,))
    written = np.int64(header[WRITTEN])
    room = mask + 1 - (written - np.int64(header[READ]))
    fits = min(count, room)
    for i in range(fits):
        total = 0.0
        for channel in range(channels):
            total += block[i * channels + channel]
        samples[HEADER + ((written + i) & mask)] = total * header[CHANNEL_SHARE]
    _fence()
    header[WRITTEN] = written + fits
    if fits < count:
        header[EVENTS] += 1
        header[MISSING] += count - fits
    if np.int64(flags) & INPUT_OVERFLOW:
        header[DRIVER_EVENTS] += 1
    # struct PaStreamCallbackTimeInfo: inputBufferAdcTime, currentTime, outputBufferDacTime.
    info = carray(times, (3,))
    when = info[0] if info[0] > 0.0 else info[1] - header[LATENCY]
    header[STAMPS] += 1
    _fence()
    header[STAMP_POSITION] = written
    header[STAMP_TIME] = when
    _fence()
    header[STAMPS] += 1
    header[CALLBACKS] += 1
    return 0


@_callback
def play(_input, sound, frames, times, flags, memory):  # type: ignore[no-untyped-def]
    """Fill a block for the speaker; what is missing is the last value dying away."""
    header = carray(memory, (HEADER,))
    mask = np.int64(header[MASK])
    samples = carray(memory, (HEADER + mask + 1,))
    count, channels = np.int64(frames), np.int64(header[CHANNELS])
    block = carray(sound, (count * channels,))
    read = np.int64(header[READ])
    waiting = np.int64(header[WRITTEN]) - read
    _fence()
    there = min(count, waiting)
    last, gain = header[LAST], header[FADE_IN]
    for i in range(count):
        if i < there:
            last = samples[HEADER + ((read + i) & mask)]
            if gain < 1.0:
                last *= gain
                gain = min(1.0, gain + header[FADE_IN_STEP])
        else:
            last *= header[DECAY]
        for channel in range(channels):
            block[i * channels + channel] = last
    _fence()
    header[READ] = read + there
    if there > 0:
        header[STARTED] = 1.0
    if there < count and header[STARTED] > 0.0:
        # A gap over several blocks is one event: its first block finds the gain open.
        if gain >= 1.0 or there > 0:
            header[EVENTS] += 1
        gain = 0.0
        header[MISSING] += count - there
    header[LAST], header[FADE_IN] = last, gain
    if np.int64(flags) & OUTPUT_UNDERFLOW:
        header[DRIVER_EVENTS] += 1
    info = carray(times, (3,))
    when = info[2] if info[2] > 0.0 else info[1] + header[LATENCY]
    header[STAMPS] += 1
    _fence()
    header[STAMP_POSITION] = read
    header[STAMP_TIME] = when
    _fence()
    header[STAMPS] += 1
    header[CALLBACKS] += 1
    return 0


@dataclass(frozen=True)
class RingCounts:
    """What happened to a ring.

    Attributes
    ----------
    callbacks : int
        Blocks that the device exchanged.
    events : int
        Times that it ran dry (output) or full (input).
    missing : int
        Samples that were filled in or lost by that.
    driver_events : int
        Losses that the driver itself reported.
    """

    callbacks: int
    events: int
    missing: int
    driver_events: int


class SampleRing:
    """Mono samples on their way between a device and the codec's thread.

    Parameters
    ----------
    rate : int
        Of the samples, Hz.
    seconds : float
        That it holds at least.
    channels : int
        Of the device: input is mixed down, output copied to all of them.
    latency : float
        Seconds that the device adds, for drivers that do not stamp their blocks.
    """

    def __init__(
        self, rate: int, seconds: float, *, channels: int = 1, latency: float = 0.0
    ) -> None:
        self.rate = rate
        capacity = 1 << (max(1, round(rate * seconds)) - 1).bit_length()
        self._memory = np.zeros(HEADER + capacity)
        self._samples = self._memory[HEADER:]
        self._capacity = capacity
        self._memory[MASK] = capacity - 1
        self._memory[CHANNELS] = channels
        self._memory[CHANNEL_SHARE] = 1.0 / channels
        self._memory[LATENCY] = latency
        self._memory[FADE_IN] = 1.0
        self._memory[FADE_IN_STEP] = 1.0 / (GAP_FADE_SECONDS * rate)
        self._memory[DECAY] = np.exp(-1.0 / (GAP_FADE_SECONDS * rate))

    @property
    def address(self) -> int:
        """Of the memory: the callbacks' user data. Valid while the ring lives."""
        return int(self._memory.ctypes.data)

    @property
    def written(self) -> int:
        """Samples that went in since the beginning."""
        return int(_load_before(self._memory, WRITTEN))

    @property
    def read(self) -> int:
        """Samples that went out since the beginning."""
        return int(_load_before(self._memory, READ))

    @property
    def waiting(self) -> int:
        """Samples in the ring."""
        # The other side may move its counter between the two loads; the result then errs on the
        # side of samples that are still there.
        read = self.read
        return self.written - read

    @property
    def counts(self) -> RingCounts:
        """What happened so far."""
        return RingCounts(
            *(int(self._memory[i]) for i in (CALLBACKS, EVENTS, MISSING, DRIVER_EVENTS))
        )

    def set_latency(self, seconds: float) -> None:
        """Say what the device adds, once it is known."""
        self._memory[LATENCY] = seconds

    def stamp(self) -> tuple[int, float] | None:
        """Position of a recent block's first sample and when it meets the air (PortAudio time).

        None before the first block, or if the device keeps changing it.
        """
        for _ in range(8):  # a callback takes microseconds; more than two in a row is unheard of
            before = _load_before(self._memory, STAMPS)
            position = _load_before(self._memory, STAMP_POSITION)
            when = _load_before(self._memory, STAMP_TIME)
            if before > 0 and before % 2 == 0 and before == self._memory[STAMPS]:
                return int(position), float(when)
        return None

    def push(self, block: np.ndarray) -> int:
        """Write a block ``(n,)``, as the only writer; gives how many samples found room."""
        written = self.written
        fits = min(len(block), self._capacity - (written - self.read))
        start = written & (self._capacity - 1)
        first = min(fits, self._capacity - start)
        self._samples[start : start + first] = block[:first]
        self._samples[: fits - first] = block[first:fits]
        _store_after(self._memory, WRITTEN, float(written + fits))
        return fits

    def pull(self, count: int) -> np.ndarray:
        """Read ``count`` samples or as many as there are, as the only reader; float32 ``(n,)``."""
        read = self.read
        there = min(count, self.written - read)
        start = read & (self._capacity - 1)
        first = min(there, self._capacity - start)
        block = np.empty(there, np.float32)
        block[:first] = self._samples[start : start + first]
        block[first:] = self._samples[: there - first]
        _store_after(self._memory, READ, float(read + there))
        return block

    def drop(self, count: int) -> int:
        """Forget the oldest ``count`` samples, as the only reader; gives how many there were."""
        read = self.read
        there = min(count, self.written - read)
        _store_after(self._memory, READ, float(read + there))
        return there
