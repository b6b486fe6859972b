"""A browser's sound on the server's clock: gaps are filled up, what came too late is left out.

A browser sends nothing while it is muted, when its network stalls, or when a phone puts its page
to sleep; the codec's timestamps have to run on meanwhile. What piled up during a stall must not
delay everything after it. No clock here: the caller tells the time.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

PATIENCE = 0.2
"""Seconds that sound may be missing before silence takes its place."""

MAX_AHEAD = 0.1
"""Seconds of sound that may be there beyond what the clock allows before the oldest goes."""


class Intake:
    """Blocks of equal length out of frames of any.

    Parameters
    ----------
    rate : int
        Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frames: deque[NDArray[np.float32]] = deque()
        self._queued = 0
        self._given = 0
        self._origin: float | None = None
        self.muted = False
        """Whether silence is wanted whatever comes."""
        self.filled = 0
        """Samples of silence put in while sound was expected."""
        self.dropped = 0
        """Samples left out."""

    def start(self, now: float) -> None:
        """Begin at ``now``; until then nothing is taken."""
        self._origin = now
        self._given = 0
        self._clear()

    def push(self, frame: NDArray[np.float32], now: float) -> None:
        """Take a frame, shape (n,), that came at ``now``."""
        if self._origin is None or self.muted:
            return
        self._frames.append(frame)
        self._queued += len(frame)
        ahead = self._given + self._queued - self._elapsed(now)
        if ahead > MAX_AHEAD * self._rate:
            dropped = min(ahead, self._queued)
            self._take(dropped)
            self.dropped += dropped

    def pull(self, count: int, now: float) -> NDArray[np.float32] | None:
        """The next ``count`` samples, shape (count,); None if they are still to come."""
        if self._origin is None:
            return None
        if self.muted:
            self._clear()
        if self._queued < count:
            patience = 0.0 if self.muted else PATIENCE * self._rate
            if self._given + count > self._elapsed(now) - patience:
                return None
        sound = self._take(min(count, self._queued))
        missing = count - len(sound)
        if missing and not self.muted:
            self.filled += missing
        self._given += count
        return np.concatenate([sound, np.zeros(missing, np.float32)])

    def _elapsed(self, now: float) -> int:
        return int((now - (self._origin or 0.0)) * self._rate)

    def _clear(self) -> None:
        self._frames.clear()
        self._queued = 0

    def _take(self, count: int) -> NDArray[np.float32]:
        taken: list[NDArray[np.float32]] = []
        while count:
            frame = self._frames.popleft()
            if len(frame) > count:
                self._frames.appendleft(frame[count:])
                frame = frame[:count]
            taken.append(frame)
            count -= len(frame)
            self._queued -= len(frame)
        return np.concatenate(taken) if taken else np.zeros(0, np.float32)
