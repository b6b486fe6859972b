"""A native member of a call: captures, encodes, sends; receives, decodes, mixes, plays.

The codec runs in two threads, one each way, so that the event loop is always free to read the
socket and to feed the player.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidURI,
)

import streamcodec

from .errors import CallError, ProtocolError, RefusedError
from .figures import CallFigures
from .jitter import SAMPLE_RATE
from .media import Sink, Source
from .mixer import BLOCK, Voice, mix
from .protocol import (
    FINAL_CODES,
    MAX_SERVER_TEXT,
    PROTOCOL_VERSION,
    AudioFrame,
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
    build_audio,
    build_text,
    parse_binary,
    parse_text,
)
from .silence import SilenceGate, level_db

PING_SECONDS = 5.0
DEAD_SECONDS = 20.0
"""Without any frame from the relay, which answers pings, before connecting anew."""

FIRST_BACKOFF = 0.5
MAX_BACKOFF = 15.0
"""Seconds between attempts to connect: doubled each time, and each shortened at random by up to
a half so that clients of a relay that restarts do not come all at once."""

GIVE_UP_SECONDS = 120.0
"""Without a connection before a call is over."""

SEND_BUFFER = 4096
"""Bytes waiting in the send buffer beyond which sound is dropped: it would come too late."""

MAX_VOICES = 64
LINGER_SECONDS = 1.0
"""After the end of a recording, so that its last packets are heard."""

MAX_PLAYER_LAG = 0.5
"""Seconds that the player may be behind its clock before it gives up catching up."""

WARM_UP_PACKETS = 3


@dataclass(frozen=True)
class CallSettings:
    """How to take part in a call.

    Attributes
    ----------
    url : str
        ``ws://`` or ``wss://``.
    room, name, token : str
    bitrate : int
        bit/s.
    complexity : int
        Search budget, 0 ... 10; each packet has a deadline as well.
    low_delay : bool
        40 ms packets.
    seconds : float or None
        Length of the call; None: until the recording ends, or for ever.
    muted : bool
        At the start.
    tls : ssl.SSLContext or None
        None: the system's certificates.
    """

    url: str
    room: str
    name: str = "guest"
    token: str = ""
    bitrate: int = 2000
    complexity: int = 0
    low_delay: bool = False
    seconds: float | None = None
    muted: bool = False
    tls: ssl.SSLContext | None = None


def backoff(attempt: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait before attempt ``attempt`` (0 is the first repetition)."""
    # The exponent is bounded so that a long outage does not overflow.
    longest = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(attempt, 10))
    return longest * (0.5 + 0.5 * chance())


class CallClient:
    """One member of a call.

    Parameters
    ----------
    settings : CallSettings
    source : Source
    sink : Sink
    tell : callable
        Takes lines for the user.
    """

    def __init__(
        self,
        settings: CallSettings,
        source: Source,
        sink: Sink,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._sink = sink
        self._tell = tell
        self._encoder = streamcodec.SpeechEncoder(
            settings.bitrate,
            complexity=settings.complexity,
            low_delay=settings.low_delay,
            refresh=1,
            sample_rate=source.sample_rate,
            channels=source.channels,
        )
        self._frame = self._encoder.frame_size
        self._model = self._encoder.header.identity.hex()
        self.muted = settings.muted
        self.connected = asyncio.Event()
        """Set while in the room."""
        self.level = level_db(np.zeros(0))
        self._connection: ClientConnection | None = None
        self._resume = ""
        self._voices: dict[int, Voice] = {}
        self._members: dict[int, Member] = {}
        self._sequence = 0
        self._heard = 0.0
        self._pinged: dict[int, float] = {}
        self._figures = CallFigures()
        self._stop = asyncio.Event()
        self._coders = [ThreadPoolExecutor(1, name) for name in ("encode", "decode")]

    async def run(self) -> dict[str, Any]:
        """Take part until the end; gives the figures of the call.

        Raises
        ------
        CallError
            The relay cannot be reached or refuses.
        """
        began = time.monotonic()
        try:
            await self._off_loop(1, self._warm_up)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._end(group))
                self._group = group
                for part in (self._link(), self._capture(), self._play(), self._keep_alive()):
                    group.create_task(part)
        except* _Ended:
            pass
        except* Exception as failures:
            raise failures.exceptions[0] from None
        finally:
            for coder in self._coders:
                coder.shutdown(cancel_futures=True)
        return self._summary(time.monotonic() - began)

    def stop(self) -> None:
        """End the call in order."""
        self._stop.set()

    async def _off_loop(self, way: int, work: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._coders[way], work, *arguments)

    def _warm_up(self) -> None:
        """Run both ways once: the first packet compiles and allocates, which takes long."""
        encoder = self._encoder
        rng = np.random.default_rng(0)
        wanted = round(self._frame / SAMPLE_RATE * self._source.sample_rate)
        sound = rng.uniform(-0.1, 0.1, (wanted, self._source.channels)).astype(np.float32)
        decoder = self._new_decoder(encoder.header)
        for _ in range(WARM_UP_PACKETS):
            for packet in encoder.push(sound):
                decoder.push(packet)
        encoder.reset()

    def _new_decoder(self, header: streamcodec.StreamHeader) -> streamcodec.SpeechDecoder:
        return streamcodec.SpeechDecoder(header, model=self._encoder.model)

    async def _end(self, group: asyncio.TaskGroup) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._settings.seconds)
        self._stop.set()
        connection = self._connection
        if connection is not None:
            broadcast((connection,), build_text(Leave()))
            await connection.close()
        raise _Ended

    # -- connection

    async def _link(self) -> None:
        attempt = 0
        lost = time.monotonic()
        while True:
            try:
                await self._session()
            except (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage) as error:
                if self._heard == 0.0 and not self._stop.is_set():
                    raise CallError(f"cannot reach the relay: {error}; check the URL") from error
            except (InvalidURI, InvalidProxy) as error:
                raise CallError(f"cannot use the URL: {error}") from error
            finally:
                if self.connected.is_set():
                    lost, attempt = time.monotonic(), 0
                self._connection = None
                self.connected.clear()
            if self._stop.is_set():
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
            open_timeout=10.0, close_timeout=2.0, proxy=None, **options,
        ) as connection:  # fmt: skip
            self._heard = time.monotonic()
            hello = Hello(
                PROTOCOL_VERSION, settings.room, settings.name, self._model,
                self._encoder.header.steps_per_packet, ("speech", "silence"), settings.token,
                self._resume,
            )  # fmt: skip
            await connection.send(build_text(hello))
            self._connection = connection
            async for data in connection:
                self._heard = time.monotonic()
                try:
                    if isinstance(data, bytes):
                        self._receive(parse_binary(data))
                    else:
                        self._obey(parse_text(data, MAX_SERVER_TEXT))
                except ProtocolError:
                    self._figures.malformed += 1

    def _receive(self, frame: AudioFrame | None) -> None:
        if frame is None:
            return
        voice = self._voices.get(frame.sender)
        if voice is None:
            return
        self._figures.bytes_received += len(frame.packet)
        voice.push(frame, time.monotonic())

    def _obey(self, message: Message | None) -> None:
        if isinstance(message, Welcome):
            self._resume = message.resume
            present = {member.sender for member in message.members}
            for sender in set(self._members) - present:
                self._leave(sender)
            for member in message.members:
                self._join(member)
            self.connected.set()
            self._tell(
                f"{'back in' if message.resumed else 'in'} the room with {len(present)} other(s)"
            )
        elif isinstance(message, Join):
            self._join(message.member)
        elif isinstance(message, Leave):
            self._leave(message.sender)
        elif isinstance(message, Pong) and message.number in self._pinged:
            self._figures.round_trip = time.monotonic() - self._pinged.pop(message.number)
        elif isinstance(message, Error) and message.code in FINAL_CODES:
            raise RefusedError(message.code, message.message)

    def _join(self, member: Member) -> None:
        if self._members.get(member.sender) == member or len(self._members) >= MAX_VOICES:
            return
        self._leave(member.sender)
        self._members[member.sender] = member
        if member.model != self._model:
            self._tell(f"{member.name} uses another model ({member.model}) and cannot be heard")
            return
        header = streamcodec.StreamHeader(bytes.fromhex(member.model), member.steps, 1)
        self._voices[member.sender] = Voice(self._new_decoder(header))
        self._tell(f"{member.name} is here")

    def _leave(self, sender: int) -> None:
        member = self._members.pop(sender, None)
        voice = self._voices.pop(sender, None)
        if voice is not None:
            self._figures.add(voice)
        if member is not None:
            self._tell(f"{member.name} left")

    async def _keep_alive(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(PING_SECONDS)
            connection, now = self._connection, time.monotonic()
            if connection is None or not self.connected.is_set():
                continue
            if now - self._heard > DEAD_SECONDS:
                connection.transport.abort()
                continue
            number += 1
            self._pinged = {number: now}
            broadcast((connection,), build_text(Ping(number)))
            values = {
                "received": float(sum(v.jitter.counts.received for v in self._voices.values())),
                "concealed": float(sum(v.jitter.counts.concealed for v in self._voices.values())),
                "late": float(sum(v.jitter.counts.late for v in self._voices.values())),
            }
            broadcast((connection,), build_text(Statistics(values)))

    # -- sound

    async def _capture(self) -> None:
        # Without this the recording would begin before anyone can hear it.
        await self.connected.wait()
        gate = SilenceGate()
        seconds = self._frame / SAMPLE_RATE
        position = spurt = 0
        fresh = True
        async for block in self._source.blocks(seconds):
            self.level = level_db(block)
            send = gate.push(block, seconds, self.muted)
            position += self._frame
            if send:
                if fresh:
                    spurt, fresh = position - self._frame, False
                before = time.monotonic()
                for packet in await self._off_loop(0, self._encoder.push, block):
                    self._send(AudioFrame(0, self._sequence, spurt, bytes(packet)))
                    spurt += self._frame
                self._figures.encoded(time.monotonic() - before)
            elif not fresh:
                self._encoder.reset()
                fresh = True
            if send is None:
                self._send(AudioFrame(0, self._sequence, position, level=round(-self.level)))
            self._figures.captured_seconds += seconds
        if self._settings.seconds is None and self._source.ends:
            await asyncio.sleep(LINGER_SECONDS)
            self.stop()

    def _send(self, frame: AudioFrame) -> None:
        self._sequence += 1
        connection = self._connection
        if connection is None or not self.connected.is_set():
            return
        if connection.transport.get_write_buffer_size() > SEND_BUFFER:
            self._figures.unsent += 1
            return
        data = build_audio(frame)
        broadcast((connection,), data)
        self._figures.packets_sent += frame.level is None
        self._figures.descriptors_sent += frame.level is not None
        self._figures.bytes_sent += len(frame.packet)

    async def _play(self) -> None:
        block_seconds = BLOCK / SAMPLE_RATE
        start, count = time.monotonic(), 0
        while True:
            now = time.monotonic()
            for voice in self._voices.values():
                work = voice.next_work(now)
                if work is not None:
                    self._group.create_task(self._decode(voice, work, now))
            self._sink.write(mix([voice.take() for voice in self._voices.values()]))
            count += 1
            wait = start + count * block_seconds - time.monotonic()
            if wait < -MAX_PLAYER_LAG:
                self._figures.player_stalls += 1
                start, count = time.monotonic(), 0
            await asyncio.sleep(max(0.0, wait))

    async def _decode(self, voice: Voice, work: Callable[[], np.ndarray], began: float) -> None:
        sound = await self._off_loop(1, work)
        voice.finish(sound, time.monotonic() - began)

    def _summary(self, seconds: float) -> dict[str, Any]:
        for sender in list(self._members):
            self._leave(sender)
        return {
            "seconds": seconds,
            "model": self._model,
            "input_started": self._source.started,
            "output_started": self._sink.started,
            **self._figures.report(self._frame / SAMPLE_RATE),
        }


class _Ended(Exception):  # noqa: N818 -- ends the task group, is no error
    """The call is over as it should be."""
