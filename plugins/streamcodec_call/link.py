"""A client's connection to the relay: hello, back-off and resumption, keep-alive, sending."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidURI,
)

from .call_settings import CallSettings
from .errors import CallError, ProtocolError, RefusedError
from .figures import CallFigures
from .frames import AUDIO_HEADER
from .limits import AUDIO_RATE, DEAD_SECONDS, LOSS_SECONDS, PING_SECONDS, STEP_SECONDS
from .protocol import (
    FINAL_CODES,
    MAX_SERVER_TEXT,
    PROTOCOL_VERSION,
    AudioFrame,
    Error,
    Hello,
    Join,
    Leave,
    Message,
    Ping,
    Pong,
    Statistics,
    Welcome,
    build_audio,
    build_text,
    parse_binary,
    parse_text,
)
from .redundancy import Redundancy

FIRST_BACKOFF = 0.5
MAX_BACKOFF = 15.0
"""Seconds between attempts to connect: doubled each time, and each shortened at random by up to
a half so that clients of a relay that restarts do not come all at once."""

GIVE_UP_SECONDS = 120.0
"""Without a connection before a call is over."""

OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
"""For which the relay may take to answer a handshake and a close."""

SEND_BUFFER = 4096
"""Bytes waiting in the send buffer beyond which sound is dropped: it would come too late."""

REPEATED_RATE = 3
"""Times that a frame is sent at most."""

CAPABILITIES = ("speech", "silence")


class Listener(Protocol):
    """Who takes what the relay sends."""

    def receive(self, frame: AudioFrame) -> None:
        """Take a frame of sound."""

    def obey(self, message: Message) -> None:
        """Take a control message; connection matters have been seen to."""

    def statistics(self) -> dict[str, float]:
        """Figures to tell the room."""

    @property
    def loses(self) -> bool:
        """Whether frames are missing of which :meth:`statistics` has not told yet."""


def backoff(attempt: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait before attempt ``attempt`` (0 is the first repetition)."""
    # The exponent is bounded so that a long outage does not overflow.
    longest = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(attempt, 10))
    return longest * (0.5 + 0.5 * chance())


class Link:
    """The connection of one member, which is made anew when it breaks.

    Parameters
    ----------
    settings : CallSettings
    model : str
        Identity of the model, 16 hex digits.
    steps : int
        Latent steps in a packet.
    listener : Listener
    figures : CallFigures
    tell : callable
        Takes lines for the user.
    """

    def __init__(
        self,
        settings: CallSettings,
        model: str,
        steps: int,
        listener: Listener,
        figures: CallFigures,
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._model = model
        self._steps = steps
        self._packet_seconds = STEP_SECONDS * steps
        self._listener = listener
        self._figures = figures
        self._tell = tell
        self.connected = asyncio.Event()
        """Set while in the room."""
        self._connection: ClientConnection | None = None
        self._resume = ""
        self._sequence = 0
        self._heard = 0.0
        self._pinged: dict[int, float] = {}
        self._leaving = False
        self._own = 0
        self._redundancy = Redundancy()
        self._last: bytes | None = None

    async def run(self) -> None:
        """Be connected until :meth:`leave`.

        Raises
        ------
        CallError
            The relay cannot be reached or refuses.
        """
        attempt = 0
        lost = time.monotonic()
        while True:
            try:
                await self._session()
            except (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage) as error:
                if self._heard == 0.0 and not self._leaving:
                    raise CallError(f"cannot reach the relay: {error}; check the URL") from error
            except (InvalidURI, InvalidProxy) as error:
                raise CallError(f"cannot use the URL: {error}") from error
            finally:
                if self.connected.is_set():
                    lost, attempt = time.monotonic(), 0
                self._connection = None
                self.connected.clear()
            if self._leaving:
                return
            if time.monotonic() - lost > GIVE_UP_SECONDS:
                raise CallError(f"no connection for {GIVE_UP_SECONDS:.0f} s; the call is over")
            self._figures.reconnects += 1
            self._tell("connection lost, trying again")
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def _session(self) -> None:
        settings = self._settings
        options: dict[str, Any] = {"ssl": settings.tls} if settings.tls else {}
        async with connect(
            settings.url, compression=None, max_size=MAX_SERVER_TEXT, ping_interval=None,
            open_timeout=OPEN_SECONDS, close_timeout=CLOSE_SECONDS, proxy=None, **options,
        ) as connection:  # fmt: skip
            self._heard = time.monotonic()
            hello = Hello(
                PROTOCOL_VERSION, settings.room, settings.name, self._model, self._steps,
                CAPABILITIES, settings.token, self._resume,
            )  # fmt: skip
            await connection.send(build_text(hello))
            self._connection = connection
            async for data in connection:
                self._heard = time.monotonic()
                try:
                    if isinstance(data, bytes):
                        frame = parse_binary(data)
                        if frame is not None:
                            self._listener.receive(frame)
                    else:
                        self._obey(parse_text(data, MAX_SERVER_TEXT))
                except ProtocolError:
                    self._figures.malformed += 1

    def _obey(self, message: Message | None) -> None:
        if message is None:
            return
        if isinstance(message, Welcome):
            self._resume, self._own = message.resume, message.sender
            for member in message.members:
                self._redundancy.expect(member.sender)
            self.connected.set()
            self._tell(
                f"{'back in' if message.resumed else 'in'} the room with "
                f"{len(message.members)} other(s)"
            )
        elif isinstance(message, Pong) and message.number in self._pinged:
            self._figures.round_trip = time.monotonic() - self._pinged.pop(message.number)
        elif isinstance(message, Error) and message.code in FINAL_CODES:
            raise RefusedError(message.code, message.message)
        elif isinstance(message, Statistics):
            self._redundancy.report(message.sender, self._own, message.values)
        elif isinstance(message, Join):
            self._redundancy.expect(message.member.sender)
        elif isinstance(message, Leave):
            self._redundancy.forget(message.sender)
        self._listener.obey(message)

    async def keep_alive(self) -> None:
        """Ping, tell figures, and give up a connection that is dead; runs until cancelled."""
        number = 0
        due = time.monotonic() + PING_SECONDS
        while True:
            await asyncio.sleep(LOSS_SECONDS)
            connection, now = self._connection, time.monotonic()
            if connection is None or not self.connected.is_set():
                continue
            if now - self._heard > DEAD_SECONDS:
                connection.transport.abort()
                continue
            if now >= due:
                due = now + PING_SECONDS
                number += 1
                self._pinged = {number: now}
                broadcast((connection,), build_text(Ping(number)))
            elif not self._listener.loses:
                continue
            broadcast((connection,), build_text(Statistics(self._listener.statistics())))

    def send(self, timestamp: int, packet: bytes = b"", level: int | None = None) -> None:
        """Send a packet or, with a level, word of silence; lost where there is no connection."""
        frame = AudioFrame(0, self._sequence, timestamp, packet, level)
        self._sequence += 1
        connection = self._way
        if connection is None:
            return
        if connection.transport.get_write_buffer_size() > SEND_BUFFER:
            self._figures.unsent += 1
            return
        data = build_audio(frame)
        broadcast((connection,), data)
        copies = self._redundancy.copies
        if copies and self._last is not None:
            self._repeat(self._last)
        loop = asyncio.get_running_loop()
        if copies > 1 and self._may_send_thrice:
            loop.call_later(self._packet_seconds / 2, self._repeat, data)
        if copies and level is not None:  # nothing follows soon that could bring it again
            loop.call_later(self._packet_seconds, self._repeat, data)
        self._redundancy.sent()
        self._last = data if level is None else None
        self._figures.packets_sent += level is None
        self._figures.descriptors_sent += level is not None
        self._figures.bytes_sent += len(packet)

    @property
    def _way(self) -> ClientConnection | None:
        """The connection while it takes sound: from the welcome to the goodbye."""
        return self._connection if self.connected.is_set() and not self._leaving else None

    @property
    def _may_send_thrice(self) -> bool:
        """Short packets come so often that relays would take it for too many."""
        return REPEATED_RATE / self._packet_seconds <= AUDIO_RATE

    def _repeat(self, data: bytes) -> None:
        """Send a frame of sound again."""
        connection = self._way
        if connection is None:
            return
        broadcast((connection,), data)
        self._figures.repeated += 1
        self._figures.bytes_sent += len(data) - AUDIO_HEADER.size

    async def leave(self) -> None:
        """Say goodbye and close."""
        self._leaving = True
        connection = self._connection
        if connection is not None:
            broadcast((connection,), build_text(Leave()))
            await connection.close()
