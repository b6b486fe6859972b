"""How much sound waits in front of the speaker: enough for the slowest packet, and no more.

What counts is the *slack*: how much sound was still queued when a packet's sound was ready. The
smallest slack of the last seconds is held at a target by playing a little slower or faster (a
proportional-integral controller whose integral learns the two clocks' difference). A queue that
stays far too long, as after a stall, is cut; one that ran dry is filled up to the target at once.
The target itself rises when the queue ran dry or nearly did, and sinks again in a quiet minute.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MIN_SLACK = 0.030
"""Least slack aimed at, seconds: a block of 10 ms, since a sound card empties the queue blockwise,
and two time slices of a scheduler with something else to do."""

SLACK_SHARE = 0.75
"""Share of a packet that is aimed at on a machine that has never been late, if that is more:
the longer a packet takes, the later it can be. Beside a process that kept one core of two busy,
30 ms for packets of 80 ms ran dry four times in ten minutes (``bench/loopback.py``)."""

MAX_SLACK = 0.200
"""Most slack aimed at; a machine that is later than this is too slow."""

GROWTH = 1.5
"""Factor on the target when the queue ran dry."""

NEARLY = 0.2
"""Share of the target below which the queue has nearly run dry."""

CAUTION = 1.2
"""Factor on the target then."""

SINK_SECONDS = 60.0
"""Time constant with which the target returns to the least."""

WINDOW_SECONDS = 2.0
"""The smallest slack over this time is what is controlled: single late packets count."""

PROPORTIONAL = 0.05
"""Change of speed for each second of error: an error dies away with a time constant of 20 s."""

INTEGRAL = PROPORTIONAL**2 / 4
"""Makes the loop critically damped."""

MAX_BEND = 0.005
"""Largest change of speed: nine cents of pitch, which speech does not show; 5 ms a second."""

CUT = 0.060
"""Seconds beyond the target from which the queue is cut rather than bent down."""


@dataclass(frozen=True)
class Steering:
    """What to do with a packet's sound.

    Attributes
    ----------
    stretch : float
        Factor on its length, near 1.
    fill : float
        Seconds of silence to put before it.
    cut : float
        Seconds to take out of it.
    """

    stretch: float
    fill: float = 0.0
    cut: float = 0.0


class QueueControl:
    """Steer the queue's depth packet by packet.

    Parameters
    ----------
    packet_seconds : float
        Sound in a packet.
    """

    def __init__(self, packet_seconds: float) -> None:
        self._packet = packet_seconds
        self._recent: deque[float] = deque(maxlen=max(1, round(WINDOW_SECONDS / packet_seconds)))
        self._integral = 0.0
        self._begun = False
        self.least = max(MIN_SLACK, SLACK_SHARE * packet_seconds)
        """Least slack aimed at, seconds."""
        self.target = self.least
        """Slack aimed at, seconds."""
        self.bend = 0.0
        """Present change of speed, as a share; positive plays slower."""
        self.refills = 0
        """Times that the queue had run dry."""
        self.cuts = 0
        """Times that it was cut."""

    def steer(self, slack: float) -> Steering:
        """Say what to do with the next packet's sound, given what is still queued.

        Parameters
        ----------
        slack : float
            Seconds of sound in the queue before it; 0 if that ran dry.
        """
        if slack <= 0.0:
            return self._refill()
        self.target += (self.least - self.target) * min(1.0, self._packet / SINK_SECONDS)
        if slack < NEARLY * self.target:
            self.target = min(MAX_SLACK, CAUTION * self.target)
        self._recent.append(slack)
        error = self.target - min(self._recent)
        settled = len(self._recent) == self._recent.maxlen
        if settled and -error > CUT:
            self.cuts += 1
            excess = min(-error, self._packet / 2)  # the rest comes out of the packets to follow
            for _ in range(len(self._recent)):
                self._recent.append(self._recent.popleft() - excess)
            return Steering(1.0 + self.bend, cut=excess)
        bend = PROPORTIONAL * error + self._integral
        self.bend = max(-MAX_BEND, min(MAX_BEND, bend))
        # At the limit the integral would only wind up.
        if self.bend == bend and settled:
            self._integral += INTEGRAL * error * self._packet
        return Steering(1.0 + self.bend)

    def _refill(self) -> Steering:
        if self._begun:
            self.refills += 1
            self.target = min(MAX_SLACK, self.target * GROWTH)
        # The first packets say little about how long the next will take: begin with some more.
        fill = self.target if self._begun else GROWTH * self.target
        self._begun = True
        self._recent.clear()
        return Steering(1.0 + self.bend, fill=fill)
