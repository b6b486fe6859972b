"""What waits to be sent to one receiver."""

from __future__ import annotations

from collections import deque

MAX_OUTBOX_AUDIO = 50
"""Sound frames that wait for one receiver: older ones are of no use to a call."""

MAX_OUTBOX_CONTROL = 128
"""Control frames that wait for one receiver; more, and it is dropped as slow."""


class Outbox:
    """What waits for one receiver: never more than its limits."""

    __slots__ = ("_audio", "_control", "dropped")

    def __init__(self) -> None:
        self._audio: deque[bytes] = deque()
        self._control: deque[str] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._audio) + len(self._control)

    def put_audio(self, data: bytes) -> None:
        """Add a sound frame; the oldest gives way."""
        if len(self._audio) >= MAX_OUTBOX_AUDIO:
            self._audio.popleft()
            self.dropped += 1
        self._audio.append(data)

    def put_control(self, text: str) -> bool:
        """Add a control frame; False if there is no room for it."""
        if len(self._control) >= MAX_OUTBOX_CONTROL:
            return False
        self._control.append(text)
        return True

    def pop(self) -> str | bytes:
        """The next frame: control before sound."""
        return self._control.popleft() if self._control else self._audio.popleft()
