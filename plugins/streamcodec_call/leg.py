"""What travels between the web page and its server, and one browser's state there.

``docs/call-gateway.md`` is the specification. A browser sends and hears plain samples; the codec
runs at the server. As with the call protocol, types that are not known are ignored and everything
else that is not as specified is refused. No socket and no clock here.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import fields
from .errors import ProtocolError
from .limits import (
    CONTROL_BURST,
    CONTROL_RATE,
    HELLO_SECONDS,
    IDLE_SECONDS,
    MAX_LEVEL,
    MAX_PING,
    MAX_TEXT,
    MAX_TOKEN,
    ROOM_PATTERN,
)
from .outbox import Outbox
from .ratelimit import TokenBucket

LEG_VERSION = 1
"""Version of the browser leg, which counts by itself."""

LEG_PATH = "/gateway"

RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
"""Sampling rates that a browser's sound may have, Hz."""

PLAYED_RATE = 16_000
"""Sampling rate of what a browser is sent, Hz."""

PCM = 1
SILENCE = 2
LEVELS = 3
HEADER = struct.Struct("<BBH")
"""Type, own level (of type 3), sequence. Little-endian, as the samples are and as typed arrays of
browsers read them."""

MEMBER_LEVEL = struct.Struct("<HBB")
"""Member's number, level in dB under full scale, 0."""

SEQUENCE_SPAN = 1 << 16
FULL_SCALE = 32_768.0
SAMPLE = np.dtype("<i2")

FRAME_SECONDS = 0.02
MAX_FRAME_SAMPLES = 1920
"""Samples in a frame: 20 ms at 96 kHz, 40 ms at 48 kHz."""

MAX_FRAME = HEADER.size + SAMPLE.itemsize * MAX_FRAME_SAMPLES

PCM_RATE = 60.0
"""Frames of sound a second that a browser may send; 20 ms each make 50."""

PCM_BURST = 150.0
"""Frames at once: what piles up while a network stalls for three seconds."""

MAX_EXCESS = 600
"""Frames over the rate, which are dropped, before the connection is closed."""


@dataclass(frozen=True)
class LegHello:
    """First frame of a browser.

    Attributes
    ----------
    version : int
    room, name, token : str
        As in the call protocol.
    rate : int
        Sampling rate of what it will send, Hz; one of ``RATES``.
    muted : bool
        Whether it begins muted.
    """

    version: int
    room: str = ""
    name: str = ""
    token: str = field(default="", repr=False)
    rate: int = PLAYED_RATE
    muted: bool = False


def parse_hello(found: dict[str, Any]) -> LegHello:
    """Read a browser's hello; only the version is looked at where that is another."""
    version = fields.integer(found, "version", 1, 0xFFFF)
    if version != LEG_VERSION:
        return LegHello(version)
    rate = fields.integer(found, "rate", min(RATES), max(RATES))
    if rate not in RATES:
        raise ProtocolError(f"expected one of {RATES} as rate")
    return LegHello(
        version,
        fields.match(found, "room", ROOM_PATTERN),
        fields.name(found),
        fields.string(found, "token", MAX_TOKEN, ""),
        rate,
        found.get("muted") is True,
    )


def build(kind: str, **values: Any) -> str:
    """A text frame for the browser or for the codec process."""
    return json.dumps({"type": kind, **values}, separators=(",", ":"))


def build_pcm(sequence: int, sound: NDArray[np.float32]) -> bytes:
    """A frame of sound: float32, shape (n,), full scale ±1, clipped."""
    scaled = np.clip(np.rint(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return HEADER.pack(PCM, 0, sequence % SEQUENCE_SPAN) + scaled.astype(SAMPLE).tobytes()


def build_silence(sequence: int) -> bytes:
    """Word that sound stops for now."""
    return HEADER.pack(SILENCE, 0, sequence % SEQUENCE_SPAN)


def build_levels(own: float, others: Mapping[int, float]) -> bytes:
    """Levels in dB of the browser's own sound and of what is heard of each member."""
    head = HEADER.pack(LEVELS, _level_byte(own), 0)
    return head + b"".join(MEMBER_LEVEL.pack(n, _level_byte(db), 0) for n, db in others.items())


def _level_byte(decibels: float) -> int:
    return round(min(max(-decibels, 0.0), MAX_LEVEL))


def parse_pcm(data: bytes) -> NDArray[np.float32] | None:
    """The sound in a binary frame, float32, shape (n,); None if it is of another type.

    Raises
    ------
    ProtocolError
        It is empty, too long, or no whole number of samples.
    """
    if not HEADER.size <= len(data) <= MAX_FRAME:
        raise ProtocolError(f"expected a binary frame of {HEADER.size}..{MAX_FRAME} bytes")
    if data[0] != PCM:
        return None
    body = data[HEADER.size :]
    if not body or len(body) % SAMPLE.itemsize:
        raise ProtocolError("expected whole samples of 16 bits in a frame of sound")
    return np.frombuffer(body, SAMPLE).astype(np.float32) / np.float32(FULL_SCALE)


class Leg:
    """One browser: what it sends is checked and limited, what it is sent waits in ``outbox``.

    Attributes
    ----------
    hello : LegHello or None
        Once it has come.
    muted : bool
        What the browser said of it last.
    closing : str
        Error code with which to close once the outbox is sent; empty if not.
    """

    def __init__(self, now: float) -> None:
        self.outbox = Outbox()
        self.closing = ""
        self.hello: LegHello | None = None
        self.muted = False
        self._since = self._heard = now
        self._pcm = TokenBucket(PCM_RATE, PCM_BURST, now)
        self._control = TokenBucket(CONTROL_RATE, CONTROL_BURST, now)
        self._excess = 0

    def receive(self, data: str | bytes, now: float) -> Iterable[str | bytes]:
        """Take a frame that came at ``now``; gives what of it is for the codec process."""
        if self.closing:
            return ()
        self._heard = now
        bucket = self._control if isinstance(data, str) else self._pcm
        if not bucket.take(now):
            self._excess += 1
            if self._excess > MAX_EXCESS:
                self.refuse("rate", "too many frames")
            return ()
        try:
            return self._sound(data) if isinstance(data, bytes) else self._text(data)
        except ProtocolError as error:
            self.refuse("malformed", str(error))
            return ()

    def _sound(self, data: bytes) -> Iterable[bytes]:
        if self.hello is None:
            raise ProtocolError("expected a hello before sound")
        return () if parse_pcm(data) is None else (data,)

    def _text(self, text: str) -> Iterable[str]:
        found = fields.parse_object(text, MAX_TEXT)
        kind = found["type"]
        if kind == "ping":
            self.tell(build("pong", number=fields.integer(found, "number", 0, MAX_PING)))
        elif kind == "hello":
            if self.hello is not None:
                raise ProtocolError("expected one hello, found another")
            self.hello = parse_hello(found)
            self.muted = self.hello.muted
        elif kind == "mute" and self.hello is not None:
            self.muted = found.get("muted") is True
            # Built anew, so that the codec process reads nothing but what was checked.
            return (build("mute", muted=self.muted),)
        elif kind == "leave":
            self.closing = "left"
        return ()

    def tell(self, text: str) -> None:
        """Put a text frame into the outbox."""
        if not self.outbox.put_control(text):
            self.closing = "slow"

    def refuse(self, code: str, message: str) -> None:
        """Say what is wrong; the connection is closed after that."""
        self.tell(build("error", code=code, message=message))
        self.closing = self.closing or code

    def tick(self, now: float) -> None:
        """Look after time-outs; to be called about once a second."""
        if self.closing:
            return
        if self.hello is None and now - self._since > HELLO_SECONDS:
            self.refuse("idle", "no hello came in time")
        elif now - self._heard > IDLE_SECONDS:
            self.refuse("idle", "nothing was heard for too long")
