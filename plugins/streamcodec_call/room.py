"""State of the relay: rooms, members, limits, and what waits to be sent to whom.

No socket and no clock: the server hands over what came and when, and is told whose outbox has
something to send. Packets are opaque and are passed on as they are.

Nothing that a peer sends ends in a log: peers are called by number, reasons by error code.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .errors import ProtocolError
from .limits import (
    AUDIO_BURST,
    AUDIO_RATE,
    CONTROL_BURST,
    CONTROL_RATE,
    HELLO_SECONDS,
    IDLE_SECONDS,
    MAX_SENDER,
    PROTOCOL_VERSION,
    RESUME_SECONDS,
)
from .outbox import Outbox
from .protocol import (
    Error,
    Hello,
    Join,
    Leave,
    Member,
    Message,
    Ping,
    Pong,
    Statistics,
    Welcome,
    build_text,
    check_binary,
    parse_text,
    stamp_sender,
)
from .ratelimit import TokenBucket

DEFAULT_MAX_ROOMS = 1000
DEFAULT_MAX_PEERS = 16

MAX_EXCESS = 400
"""Frames over the rate, which are dropped, before the connection is closed."""


@dataclass(eq=False, slots=True)
class Seat:
    """A member's place in a room; outlives its connection for a while."""

    room: str
    member: Member
    resume: str
    peer: Peer | None
    away_since: float = 0.0


@dataclass(eq=False, slots=True)
class Peer:
    """One connection.

    Attributes
    ----------
    number : int
        What logs call it.
    outbox : Outbox
    closing : str
        Error code with which the server is to close it once the outbox is sent; empty if not.
    """

    number: int
    since: float
    audio: TokenBucket
    control: TokenBucket
    outbox: Outbox = field(default_factory=Outbox)
    seat: Seat | None = None
    heard: float = 0.0
    excess: int = 0
    closing: str = ""


class Relay:
    """Rooms and their members.

    Parameters
    ----------
    token : str
        What a client must say to enter; empty: anyone may.
    max_rooms, max_peers : int
        Rooms, and members of one.
    new_key : callable
        Makes the secret with which a seat is taken again.
    """

    def __init__(
        self,
        token: str = "",
        *,
        max_rooms: int = DEFAULT_MAX_ROOMS,
        max_peers: int = DEFAULT_MAX_PEERS,
        new_key: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._token = token.encode()
        self._max_rooms = max_rooms
        self._max_peers = max_peers
        self._new_key = new_key
        self._rooms: dict[str, dict[int, Seat]] = {}
        self._seats: dict[str, Seat] = {}
        self._peers: set[Peer] = set()
        self._numbers = itertools.count(1)
        self.relayed = 0

    @property
    def rooms(self) -> int:
        """Rooms in use."""
        return len(self._rooms)

    @property
    def members(self) -> int:
        """Seats taken, those kept for a broken connection included."""
        return len(self._seats)

    @property
    def full(self) -> bool:
        """Whether there are as many connections as there may ever be members."""
        return len(self._peers) >= self._max_rooms * self._max_peers

    def admits(self, token: str) -> bool:
        """Whether ``token`` is the right one."""
        # In constant time, so that it cannot be guessed character by character.
        return not self._token or hmac.compare_digest(token.encode(), self._token)

    def connect(self, now: float) -> Peer:
        """A connection was opened."""
        peer = Peer(
            next(self._numbers),
            now,
            TokenBucket(AUDIO_RATE, AUDIO_BURST, now),
            TokenBucket(CONTROL_RATE, CONTROL_BURST, now),
            heard=now,
        )
        self._peers.add(peer)
        return peer

    def receive(self, peer: Peer, data: str | bytes, now: float) -> list[Peer]:
        """Take a frame from ``peer``; gives the peers that have something to send or to close."""
        if peer.closing:
            return []
        peer.heard = now
        try:
            if isinstance(data, bytes):
                return self._audio(peer, data, now)
            if not peer.control.take(now):
                return self._over_rate(peer)
            return self._control(peer, parse_text(data), now)
        except ProtocolError as error:
            return self._close(peer, "malformed", str(error))

    def disconnect(self, peer: Peer, now: float) -> list[Peer]:
        """The connection is gone; the seat is kept unless its owner left or was thrown out."""
        self._peers.discard(peer)
        seat, peer.seat = peer.seat, None
        if seat is None or seat.peer is not peer:
            return []
        seat.peer = None
        seat.away_since = now
        return self._remove(seat) if peer.closing else []

    def tick(self, now: float) -> list[Peer]:
        """Look after time-outs; to be called about once a second."""
        woken: list[Peer] = []
        for seat in [s for s in self._seats.values() if s.peer is None]:
            if now - seat.away_since > RESUME_SECONDS:
                woken += self._remove(seat)
        for peer in [p for p in self._peers if not p.closing]:
            if peer.seat is None and now - peer.since > HELLO_SECONDS:
                woken += self._close(peer, "idle", "no hello came in time")
            elif now - peer.heard > IDLE_SECONDS:
                woken += self._close(peer, "idle", "nothing was heard for too long")
        return woken

    def close(self) -> list[Peer]:
        """Tell everyone that the relay stops."""
        peers = [peer for peer in self._peers if not peer.closing]
        return [p for peer in peers for p in self._close(peer, "closing", "the relay stops")]

    def _audio(self, peer: Peer, data: bytes, now: float) -> list[Peer]:
        known = check_binary(data)
        seat = peer.seat
        if seat is None:
            raise ProtocolError("expected a hello before sound")
        if not peer.audio.take(now):
            return self._over_rate(peer)
        if not known:
            return []
        stamped = stamp_sender(data, seat.member.sender)
        receivers = [
            other.peer
            for other in self._rooms[seat.room].values()
            if other is not seat and other.peer is not None and not other.peer.closing
        ]
        for receiver in receivers:
            receiver.outbox.put_audio(stamped)
        self.relayed += len(receivers)
        return receivers

    def _control(self, peer: Peer, message: Message | None, now: float) -> list[Peer]:
        if isinstance(message, Hello):
            return self._hello(peer, message)
        if message is None:
            return []
        if isinstance(message, Ping):
            return self._send([peer], Pong(message.number))
        seat = peer.seat
        if seat is None:
            raise ProtocolError("expected a hello first")
        if isinstance(message, Leave):
            peer.closing = "left"
            return [*self._remove(seat), peer]
        if isinstance(message, Statistics):
            return self._send(self._others(seat), Statistics(message.values, seat.member.sender))
        return []

    def _hello(self, peer: Peer, hello: Hello) -> list[Peer]:
        if peer.seat is not None:
            raise ProtocolError("expected one hello, found another")
        if hello.version != PROTOCOL_VERSION:
            return self._close(peer, "version", f"this relay speaks version {PROTOCOL_VERSION}")
        if not self.admits(hello.token):
            return self._close(peer, "token", "the token is wrong")
        old = self._seats.get(hello.resume)
        if old is not None and old.room == hello.room:
            return self._resume(peer, old)
        room = self._rooms.get(hello.room)
        if room is None and len(self._rooms) >= self._max_rooms:
            return self._close(peer, "rooms-full", "there are too many rooms")
        if room is not None and len(room) >= self._max_peers:
            return self._close(peer, "room-full", "there are too many members in this room")
        room = self._rooms.setdefault(hello.room, {})
        sender = next(n for n in range(1, MAX_SENDER + 1) if n not in room)
        member = Member(sender, hello.name, hello.model, hello.steps, hello.capabilities)
        seat = Seat(hello.room, member, self._new_key(), peer)
        room[sender] = self._seats[seat.resume] = seat
        peer.seat = seat
        return self._welcome(peer, seat, False) + self._send(self._others(seat), Join(member))

    def _resume(self, peer: Peer, seat: Seat) -> list[Peer]:
        woken: list[Peer] = []
        if seat.peer is not None:  # a connection that the client gave up, and we not yet
            stale, stale.seat = seat.peer, None
            woken += self._close(stale, "replaced", "the seat was taken by a new connection")
        seat.peer, peer.seat = peer, seat
        return woken + self._welcome(peer, seat, True)

    def _welcome(self, peer: Peer, seat: Seat, resumed: bool) -> list[Peer]:
        members = tuple(s.member for s in self._rooms[seat.room].values() if s is not seat)
        mine = seat.member.sender
        return self._send([peer], Welcome(PROTOCOL_VERSION, mine, seat.resume, resumed, members))

    def _others(self, seat: Seat) -> list[Peer]:
        room = self._rooms.get(seat.room, {})
        return [s.peer for s in room.values() if s is not seat and s.peer and not s.peer.closing]

    def _remove(self, seat: Seat) -> list[Peer]:
        others = self._others(seat)
        room = self._rooms[seat.room]
        del room[seat.member.sender], self._seats[seat.resume]
        if not room:
            del self._rooms[seat.room]
        if seat.peer is not None:
            seat.peer.seat = None
        return self._send(others, Leave(seat.member.sender))

    def _send(self, peers: Iterable[Peer], message: Message) -> list[Peer]:
        text = build_text(message)
        woken = []
        for peer in peers:
            if not peer.outbox.put_control(text):
                peer.closing = "slow"
            woken.append(peer)
        return woken

    def _over_rate(self, peer: Peer) -> list[Peer]:
        peer.excess += 1
        if peer.excess <= MAX_EXCESS:
            return []
        return self._close(peer, "rate", "too many frames")

    def _close(self, peer: Peer, code: str, message: str) -> list[Peer]:
        self._send([peer], Error(code, message))
        peer.closing = code
        return [peer]
