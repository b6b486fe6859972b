"""Control messages of the call protocol: text frames in, messages out, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from . import fields
from .errors import ProtocolError
from .limits import (
    MAX_MESSAGE,
    MAX_PING,
    MAX_RESUME,
    MAX_SENDER,
    MAX_STATISTICS,
    MAX_TEXT,
    MAX_TOKEN,
    MODEL_PATTERN,
    PROTOCOL_VERSION,
    ROOM_PATTERN,
    WORD_PATTERN,
)


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
    found = fields.parse_object(text, limit)
    reader = _READERS.get(found["type"])
    return None if reader is None else reader(found)


def _hello(found: dict[str, Any]) -> Hello:
    version = fields.integer(found, "version", 1, 0xFFFF)
    if version != PROTOCOL_VERSION:
        # Other fields may have other meanings there; the relay says so with code "version".
        return Hello(version, "", "", "", 0)
    return Hello(
        version,
        fields.match(found, "room", ROOM_PATTERN),
        fields.name(found),
        fields.match(found, "model", MODEL_PATTERN),
        fields.integer(found, "steps", 1, 2),
        fields.capabilities(found),
        fields.string(found, "token", MAX_TOKEN, ""),
        fields.string(found, "resume", MAX_RESUME, ""),
    )


def _member(found: Any) -> Member:
    if not isinstance(found, dict):
        raise ProtocolError("expected an object that describes a member")
    return Member(
        fields.integer(found, "sender", 1, MAX_SENDER),
        fields.name(found),
        fields.match(found, "model", MODEL_PATTERN),
        fields.integer(found, "steps", 1, 2),
        fields.capabilities(found),
    )


def _welcome(found: dict[str, Any]) -> Welcome:
    members = found.get("members", [])
    if not isinstance(members, list):
        raise ProtocolError("expected a list as members")
    return Welcome(
        fields.integer(found, "version", 1, 0xFFFF),
        fields.integer(found, "sender", 1, MAX_SENDER),
        fields.string(found, "resume", MAX_RESUME),
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
    return Statistics(figures, fields.integer(found, "sender", 0, MAX_SENDER, 0))


_LARGEST_FIGURE = 1e12

_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "hello": _hello,
    "welcome": _welcome,
    "join": lambda found: Join(_member(found.get("member"))),
    "leave": lambda found: Leave(fields.integer(found, "sender", 0, MAX_SENDER, 0)),
    "statistics": _statistics,
    "ping": lambda found: Ping(fields.integer(found, "number", 0, MAX_PING)),
    "pong": lambda found: Pong(fields.integer(found, "number", 0, MAX_PING)),
    "error": lambda found: Error(
        fields.match(found, "code", WORD_PATTERN), fields.string(found, "message", MAX_MESSAGE)
    ),
}
