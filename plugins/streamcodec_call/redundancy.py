"""How often to send every packet: more than once until listeners are known to lose none.

Listeners tell the share of a sender's frames that something later overtook: every few seconds,
and within one where some are missing. While one of them loses more than ``ON_SHARE``, and at
first with each whose network is not known yet, the sender repeats each frame behind the next one,
as it is: the same sequence number, so that a listener who has the first takes the second for a
duplicate. A loss is then two in a row. While one loses more than ``HEAVY_SHARE``, each frame is
sent once more half a frame after the first time, which costs no more delay. A repetition that
fills a gap is late by a frame; the jitter buffer waits for it once it has seen one, so the delay
grows by a packet for those who lose some and for nobody else. (Opus does the same with a coarser
copy, RFC 6716, section 2.1.7; at 20 bytes a packet the headers cost more.)
"""

from __future__ import annotations

from collections.abc import Mapping

ON_SHARE = 0.03
OFF_SHARE = 0.01
"""Largest share lost of any listener at which repeating begins and ends."""

HEAVY_SHARE = 0.1
"""Share from which on every frame is sent three times. That ends at ``OFF_SHARE``, since the third
one comes before the next frame and hides most of what is lost from the listener's count."""

NEW_WEIGHT = 0.5
"""Weight of a new report against those before it. One lost frame, told at once, makes repeating
begin; it ends when three or four reports of five seconds tell of none."""

HEAVY_WEIGHT = 0.2
"""The same for ``HEAVY_SHARE``: reports that tell of a loss at once are of a dozen frames."""

UNKNOWN_FRAMES = 125
"""Frames that are repeated at most for a listener who has not told what it loses: 10 s."""

FIGURE = "loss-"
"""What the figure is called in statistics, before the number of the sender that is heard."""


class Redundancy:
    """How often to repeat, from what listeners tell."""

    def __init__(self) -> None:
        self._shares: dict[int, float] = {}
        self._slow_shares: dict[int, float] = {}
        self._unknown: dict[int, int] = {}
        self._losing = self._heavily = False

    @property
    def copies(self) -> int:
        """How often each frame is to be sent again: 0, 1 or 2 times."""
        if self._heavily:
            return 2
        return int(self._losing or bool(self._unknown))

    def expect(self, listener: int) -> None:
        """A listener has come of whose network nothing is known."""
        if listener not in self._shares:
            self._unknown[listener] = UNKNOWN_FRAMES

    def sent(self) -> None:
        """A frame was sent, so that listeners should soon tell."""
        self._unknown = {who: left - 1 for who, left in self._unknown.items() if left > 1}

    def report(self, listener: int, sender: int, values: Mapping[str, float]) -> None:
        """Take the statistics of ``listener``; ``sender`` is this member's own number."""
        share = values.get(f"{FIGURE}{sender}")
        if share is None:
            return
        self._unknown.pop(listener, None)
        share = min(max(share, 0.0), 1.0)
        for shares, weight in ((self._shares, NEW_WEIGHT), (self._slow_shares, HEAVY_WEIGHT)):
            before = shares.get(listener, 0.0)
            shares[listener] = before + weight * (share - before)
        self._decide()

    def forget(self, listener: int) -> None:
        """A listener has left."""
        self._shares.pop(listener, None)
        self._slow_shares.pop(listener, None)
        self._unknown.pop(listener, None)
        self._decide()

    def _decide(self) -> None:
        worst = max(self._shares.values(), default=0.0)
        self._losing = worst > (OFF_SHARE if self._losing else ON_SHARE)
        worst = max(self._slow_shares.values(), default=0.0)
        self._heavily = worst > (OFF_SHARE if self._heavily else HEAVY_SHARE)
