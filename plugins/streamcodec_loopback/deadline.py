"""The time that a packet's search may take, changed from packet to packet."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST = 1e-3
"""Least time that can be allowed, seconds: the search looks at the clock before each step, so
less than one iteration means none."""


class PacketClock:
    """A clock for ``SpeechEncoder(clock=...)`` that runs the faster the less time there is.

    The encoder's ``deadline`` is a constant. On a clock that runs ``deadline / allowed`` times as
    fast as time it passes after ``allowed`` seconds.

    Parameters
    ----------
    deadline : float
        The encoder's, seconds.
    clock : callable
        The time.
    """

    def __init__(self, deadline: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.deadline = deadline
        self._clock = clock
        self.allow(deadline)

    def allow(self, seconds: float) -> None:
        """Allow so many seconds from now on, at most the encoder's deadline."""
        self._began = self._clock()
        self._speed = self.deadline / min(self.deadline, max(LEAST, seconds))
        self.expired = False
        """Whether someone looked at the clock after the time was over."""

    def __call__(self) -> float:
        """Give the time on this clock, seconds since :meth:`allow`."""
        passed = (self._clock() - self._began) * self._speed
        self.expired = self.expired or passed >= self.deadline
        return passed
