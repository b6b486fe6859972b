"""What waits to be sent to one receiver."""

from __future__ import annotations

from collections import deque

MAX_OUTBOX_AUDIO = 50
"""Sound frames that wait for one receiver: older ones are of no use to a call."""

MAX_OUTBOX_CONTROL = 128
"""Control frames that wait for one receiver; more, and it is dropped as slow."""


class Outbox:
    """What waits for one receiver, in the order it came: never more than its limits.

    That somebody left must not overtake what they said last, so sound and control frames wait in
    one line.
    """

    __slots__ = ("_audio", "_waiting", "dropped")

    def __init__(self) -> None:
        self._waiting: deque[str | bytes] = deque()
        self._audio = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put_audio(self, data: bytes) -> None:
        """Add a sound frame; the oldest gives way."""
        if self._audio >= MAX_OUTBOX_AUDIO:
            oldest = next(i for i, frame in enumerate(self._waiting) if isinstance(frame, bytes))
            del self._waiting[oldest]
            self._audio -= 1
            self.dropped += 1
        self._waiting.append(data)
        self._audio += 1

    def put_control(self, text: str) -> bool:
        """Add a control frame; False if there is no room for it."""
        if len(self._waiting) - self._audio >= MAX_OUTBOX_CONTROL:
            return False
        self._waiting.append(text)
        return True

    def pop(self) -> str | bytes:
        """The frame that has waited longest."""
        frame = self._waiting.popleft()
        self._audio -= isinstance(frame, bytes)
        return frame
