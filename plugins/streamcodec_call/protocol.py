"""What travels between client and relay: text frames for control, binary frames for sound.

``docs/call-protocol.md`` is the specification. Nothing here knows a socket: text or bytes in,
a message or :class:`ProtocolError` out. Types that are not known give None, so that later
versions can add some; everything else that is not as specified is refused.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from .errors import ProtocolError

PROTOCOL_VERSION = 1

MAX_TEXT = 4096
"""Characters of the longest control frame that a client may send; a security limit."""

MAX_SERVER_TEXT = 1 << 18
"""Bytes of the longest control frame from a relay: a welcome lists every member."""

MAX_PACKET = 1024
"""Bytes of the longest codec packet: two latent steps take at most 786."""

MAX_NAME = 32
MAX_TOKEN = 256
MAX_RESUME = 64
MAX_CAPABILITIES = 16
MAX_STATISTICS = 16
MAX_MESSAGE = 200

ROOM_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
WORD_PATTERN = re.compile(r"[a-z0-9-]{1,32}")
MODEL_PATTERN = re.compile(r"[0-9a-f]{16}")

ERROR_CODES = (
    "version", "token", "malformed", "rooms-full", "room-full", "busy", "rate", "slow", "idle",
    "replaced", "closing",
)  # fmt: skip
"""What an error frame may say; ``FINAL_CODES`` are those that a retry does not mend."""

FINAL_CODES = ("version", "token", "malformed", "rooms-full", "room-full", "replaced")

AUDIO = 1
SILENCE = 2
AUDIO_HEADER = struct.Struct(">BHII")
"""Type, sender, sequence, timestamp in samples at 16 kHz."""

_SENDER = struct.Struct(">H")
_SENDER_END = 1 + _SENDER.size

MAX_SENDER = 0xFFFF
SEQUENCE_BITS = 32
MAX_LEVEL = 127
"""Quietest level of a silence frame, in dB under full scale (as RFC 3389 has it)."""

MAX_BINARY = AUDIO_HEADER.size + MAX_PACKET


@dataclass(frozen=True)
class Member:
    """Who is in the room.

    Attributes
    ----------
    sender : int
        Number in the frames that the member sends, 1 ... 65535.
    name : str
    model : str
        Identity of the member's model, 16 hex digits.
    steps : int
        Latent steps of 40 ms in each of its packets.
    capabilities : tuple of str
    """

    sender: int
    name: str
    model: str
    steps: int
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hello:
    """First frame of a client."""

    TYPE: ClassVar[str] = "hello"
    version: int
    room: str
    name: str
    model: str
    steps: int
    capabilities: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    resume: str = field(default="", repr=False)


@dataclass(frozen=True)
class Welcome:
    """The relay's answer: the client's number, a key to take its seat again, who is there."""

    TYPE: ClassVar[str] = "welcome"
    version: int
    sender: int
    resume: str = field(repr=False)
    resumed: bool = False
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Join:
    """A member came."""

    TYPE: ClassVar[str] = "join"
    member: Member


@dataclass(frozen=True)
class Leave:
    """A member left; ``sender`` is 0 where a client says it of itself."""

    TYPE: ClassVar[str] = "leave"
    sender: int = 0


@dataclass(frozen=True)
class Statistics:
    """Figures that a member tells the room; ``sender`` is filled in by the relay."""

    TYPE: ClassVar[str] = "statistics"
    values: dict[str, float]
    sender: int = 0


@dataclass(frozen=True)
class Ping:
    """Keep-alive; the other side answers with a pong of the same number."""

    TYPE: ClassVar[str] = "ping"
    number: int


@dataclass(frozen=True)
class Pong:
    """Answer to a ping."""

    TYPE: ClassVar[str] = "pong"
    number: int


@dataclass(frozen=True)
class Error:
    """Something is wrong; the relay closes the connection after it."""

    TYPE: ClassVar[str] = "error"
    code: str
    message: str


Message = Hello | Welcome | Join | Leave | Statistics | Ping | Pong | Error


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """Sound of one packet, or word that there is none.

    Attributes
    ----------
    sender : int
        0 from a client; the relay fills it in.
    sequence : int
        Counts the sender's frames, modulo 2**32.
    timestamp : int
        Samples at 16 kHz from the sender's start to the packet's first, modulo 2**32.
    packet : bytes
        Opaque codec packet; empty in silence.
    level : int or None
        None with a packet; in silence the level in dB under full scale, 0 ... 127.
    """

    sender: int
    sequence: int
    timestamp: int
    packet: bytes = b""
    level: int | None = None


def build_audio(frame: AudioFrame) -> bytes:
    """The bytes of a binary frame."""
    kind = AUDIO if frame.level is None else SILENCE
    body = frame.packet if frame.level is None else bytes([frame.level])
    wrap = (1 << SEQUENCE_BITS) - 1
    return (
        AUDIO_HEADER.pack(kind, frame.sender, frame.sequence & wrap, frame.timestamp & wrap) + body
    )


def stamp_sender(data: bytes, sender: int) -> bytes:
    """Put the sender's true number into a frame; what it claimed itself is overwritten."""
    return data[:1] + _SENDER.pack(sender) + data[_SENDER_END:]


def check_binary(data: bytes) -> bool:
    """Whether a binary frame is sound or silence; False if its type is unknown.

    Raises
    ------
    ProtocolError
        It is empty, too long, or not as long as its type needs.
    """
    if not 1 <= len(data) <= MAX_BINARY:
        raise ProtocolError(f"expected a binary frame of 1..{MAX_BINARY} bytes, found {len(data)}")
    if data[0] == AUDIO:
        if len(data) <= AUDIO_HEADER.size:
            raise ProtocolError("expected a packet behind the header of a sound frame, found none")
        return True
    if data[0] == SILENCE:
        if len(data) != AUDIO_HEADER.size + 1 or data[-1] > MAX_LEVEL:
            raise ProtocolError(f"expected one level byte of 0..{MAX_LEVEL} in a silence frame")
        return True
    return False


def parse_binary(data: bytes) -> AudioFrame | None:
    """Read a binary frame; None if its type is unknown; raises as :func:`check_binary`."""
    if not check_binary(data):
        return None
    kind, sender, sequence, timestamp = AUDIO_HEADER.unpack_from(data)
    body = bytes(data[AUDIO_HEADER.size :])
    if kind == SILENCE:
        return AudioFrame(sender, sequence, timestamp, level=body[0])
    return AudioFrame(sender, sequence, timestamp, body)


def build_text(message: Message) -> str:
    """The text of a control frame."""
    return json.dumps({"type": message.TYPE, **asdict(message)}, separators=(",", ":"))


def parse_text(text: str, limit: int = MAX_TEXT) -> Message | None:
    """Read a control frame; None if its type is unknown.

    Raises
    ------
    ProtocolError
        It is too long, no JSON object, or a field is missing or out of range.
    """
    if len(text) > limit:
        raise ProtocolError(f"expected a text frame of at most {limit} characters")
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("expected a JSON object in a text frame") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise ProtocolError("expected a JSON object with a type in a text frame")
    reader = _READERS.get(found["type"])
    return None if reader is None else reader(found)


def _refuse_constant(_name: str) -> float:
    raise ValueError("NaN and infinities are no JSON")


def _integer(found: dict[str, Any], key: str, low: int, high: int, default: Any = None) -> int:
    value = found.get(key, default)
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"expected an integer of {low}..{high} as {key}")
    return value


def _string(found: dict[str, Any], key: str, most: int, default: Any = None) -> str:
    value = found.get(key, default)
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ProtocolError(f"expected at most {most} printable characters as {key}")
    return value


def _match(found: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ProtocolError(f"expected {key} to match {pattern.pattern}")
    return value


def _name(found: dict[str, Any]) -> str:
    name = _string(found, "name", MAX_NAME).strip()
    if not name:
        raise ProtocolError(f"expected a name of 1..{MAX_NAME} printable characters")
    return name


def _words(found: dict[str, Any]) -> tuple[str, ...]:
    words = found.get("capabilities", [])
    if (
        not isinstance(words, list)
        or len(words) > MAX_CAPABILITIES
        or not all(isinstance(word, str) and WORD_PATTERN.fullmatch(word) for word in words)
    ):
        raise ProtocolError(f"expected at most {MAX_CAPABILITIES} short words as capabilities")
    return tuple(words)


def _hello(found: dict[str, Any]) -> Hello:
    version = _integer(found, "version", 1, 0xFFFF)
    if version != PROTOCOL_VERSION:
        # Other fields may have other meanings there; the relay says so with code "version".
        return Hello(version, "", "", "", 0)
    return Hello(
        version,
        _match(found, "room", ROOM_PATTERN),
        _name(found),
        _match(found, "model", MODEL_PATTERN),
        _integer(found, "steps", 1, 2),
        _words(found),
        _string(found, "token", MAX_TOKEN, ""),
        _string(found, "resume", MAX_RESUME, ""),
    )


def _member(found: Any) -> Member:
    if not isinstance(found, dict):
        raise ProtocolError("expected an object that describes a member")
    return Member(
        _integer(found, "sender", 1, MAX_SENDER),
        _name(found),
        _match(found, "model", MODEL_PATTERN),
        _integer(found, "steps", 1, 2),
        _words(found),
    )


def _welcome(found: dict[str, Any]) -> Welcome:
    members = found.get("members", [])
    if not isinstance(members, list):
        raise ProtocolError("expected a list as members")
    return Welcome(
        _integer(found, "version", 1, 0xFFFF),
        _integer(found, "sender", 1, MAX_SENDER),
        _string(found, "resume", MAX_RESUME),
        found.get("resumed") is True,
        tuple(_member(member) for member in members),
    )


def _statistics(found: dict[str, Any]) -> Statistics:
    values = found.get("values")
    if not isinstance(values, dict) or len(values) > MAX_STATISTICS:
        raise ProtocolError(f"expected an object of at most {MAX_STATISTICS} figures as values")
    for key, value in values.items():
        number = type(value) in (int, float) and abs(value) <= _LARGEST_FIGURE
        if not number or not WORD_PATTERN.fullmatch(key):
            raise ProtocolError("expected numbers under short words as values")
    figures = {key: float(value) for key, value in values.items()}
    return Statistics(figures, _integer(found, "sender", 0, MAX_SENDER, 0))


_LARGEST_FIGURE = 1e12
_LARGEST_PING = (1 << 53) - 1  # what a browser's numbers hold exactly

_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "hello": _hello,
    "welcome": _welcome,
    "join": lambda found: Join(_member(found.get("member"))),
    "leave": lambda found: Leave(_integer(found, "sender", 0, MAX_SENDER, 0)),
    "statistics": _statistics,
    "ping": lambda found: Ping(_integer(found, "number", 0, _LARGEST_PING)),
    "pong": lambda found: Pong(_integer(found, "number", 0, _LARGEST_PING)),
    "error": lambda found: Error(
        _match(found, "code", WORD_PATTERN), _string(found, "message", MAX_MESSAGE)
    ),
}
