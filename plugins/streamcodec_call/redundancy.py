"""When to send every packet twice: as long as a listener loses many.

Listeners tell the share of a sender's frames that something later overtook. While one of them
loses more than ``ON_SHARE`` the sender repeats each frame behind the next one, as it is: the same
sequence number, so that a listener who has the first takes the second for a duplicate. A loss is
then two in a row. The jitter buffer sees the repetition as late by a frame and waits for it, so
the delay grows by a packet, and shrinks again once repeating has stopped. (Opus does the same
with a coarser copy, RFC 6716, section 2.1.7; at 20 bytes a packet the headers cost more.)
"""

from __future__ import annotations

from collections.abc import Mapping

ON_SHARE = 0.03
OFF_SHARE = 0.01
"""Largest share lost of any listener at which repeating begins and ends."""

NEW_WEIGHT = 0.5
"""Weight of a new report against those before it: one of five seconds is a few lost frames."""

FIGURE = "loss-"
"""What the figure is called in statistics, before the number of the sender that is heard."""


class Redundancy:
    """Whether to repeat, from what listeners tell."""

    def __init__(self) -> None:
        self._shares: dict[int, float] = {}
        self.active = False
        """Whether frames are to be sent twice."""

    def report(self, listener: int, sender: int, values: Mapping[str, float]) -> None:
        """Take the statistics of ``listener``; ``sender`` is this member's own number."""
        share = values.get(f"{FIGURE}{sender}")
        if share is None:
            return
        share = min(max(share, 0.0), 1.0)
        before = self._shares.get(listener, 0.0)
        self._shares[listener] = before + NEW_WEIGHT * (share - before)
        self._decide()

    def forget(self, listener: int) -> None:
        """A listener has left."""
        self._shares.pop(listener, None)
        self._decide()

    def _decide(self) -> None:
        worst = max(self._shares.values(), default=0.0)
        self.active = worst > (OFF_SHARE if self.active else ON_SHARE)
