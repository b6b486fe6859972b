"""Browsers in a call: the server runs the codec for each of them.

A browser's connection ends here; behind it stands a codec process that is an ordinary member of
the room. Each costs processor time, so their number is limited, and nobody gets one without the
token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from .codec_process import CodecProcess, CodecProcesses, MemberSettings
from .delivery import Deliveries
from .leg import LEG_VERSION, Leg, LegHello, build
from .settings import GatewaySettings

MAX_UNDECIDED = 32
"""Browsers connected beyond those that can have a codec: before their hello, or being refused."""

log = logging.getLogger(__name__)


class Gateway:
    """The browsers of a server.

    Parameters
    ----------
    settings : GatewaySettings
    admits : callable
        Whether a token is the right one.
    slow_seconds : float
        Within which a browser that is behind must read something.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        admits: Callable[[str], bool],
        slow_seconds: float,
    ) -> None:
        self._settings = settings
        self._admits = admits
        self._processes = CodecProcesses()
        self._deliveries: Deliveries[Leg] = Deliveries(slow_seconds)
        self._processes_of: dict[Leg, CodecProcess] = {}
        self._sessions: set[asyncio.Task[None]] = set()
        self._clearing: set[asyncio.Task[None]] = set()
        self.relay_url = ""
        """Where codec processes reach the relay."""

    @property
    def browsers(self) -> int:
        """Codec processes that run or are being started or ended."""
        return len(self._sessions) + len(self._clearing)

    def prepare(self) -> None:
        """A browser has asked for the page."""
        self._processes.prepare()

    @property
    def full(self) -> bool:
        """Whether so many browsers are connected that another has no hope of a codec."""
        return len(self._deliveries.connections) >= self._settings.max_browsers + MAX_UNDECIDED

    def tick(self, now: float) -> None:
        """Look after time-outs; to be called about once a second."""
        for leg in list(self._deliveries.connections):
            leg.tick(now)
            self._deliveries.flush([leg])

    async def serve(self, connection: ServerConnection) -> str:
        """Serve a browser until it goes; gives why it was closed, empty if it went."""
        leg = Leg(time.monotonic())
        self._deliveries.attach(leg, connection)
        session: asyncio.Task[None] | None = None
        try:
            async for data in connection:
                for frame in leg.receive(data, time.monotonic()):
                    process = self._processes_of.get(leg)
                    if process is not None:
                        process.send(frame)
                if leg.hello is not None and session is None and self._may_enter(leg, leg.hello):
                    session = _keep(self._sessions, self._take_part(leg, leg.hello))
                self._deliveries.flush([leg])
        except ConnectionClosed:
            pass
        finally:
            self._deliveries.detach(leg)
            if session is not None:
                session.cancel()
        return leg.closing

    async def close(self) -> None:
        """End what still runs."""
        for leg in self._deliveries.connections:
            leg.refuse("closing", "the server stops")
            self._deliveries.flush([leg])
        for session in self._sessions:
            session.cancel()
        while left := self._sessions | self._clearing:
            await asyncio.wait(left)
        self._deliveries.stop()
        self._processes.close()

    def _may_enter(self, leg: Leg, hello: LegHello) -> bool:
        if leg.closing:
            return False
        if hello.version != LEG_VERSION:
            leg.refuse("version", f"this server's gateway speaks version {LEG_VERSION}")
        elif not self._admits(hello.token):
            leg.refuse("token", "the token is wrong")
        elif self.browsers >= self._settings.max_browsers:
            leg.refuse("gateway-full", "this server has no codec to spare for another browser")
        return not leg.closing

    async def _take_part(self, leg: Leg, hello: LegHello) -> None:
        """Run a codec process for a browser."""
        settings = self._settings
        member = MemberSettings(
            self.relay_url, hello.room, hello.name, hello.token, hello.rate, leg.muted,
            settings.bitrate, settings.complexity, settings.low_delay,
        )  # fmt: skip
        # Shielded, since a process that is half started cannot be called off.
        starting = asyncio.create_task(self._processes.start(member))
        try:
            process = await asyncio.shield(starting)
            self._processes_of[leg] = process
            process.send(build("mute", muted=leg.muted))  # it may have changed meanwhile
            async for data in process.frames():
                self._pass_on(leg, data)
            if not leg.closing:
                log.warning("a codec process has ended by itself")
                leg.refuse("gateway", "the codec process has ended")
        except (OSError, EOFError):  # the latter where the process that forks others has died
            log.warning("no codec process could be started", exc_info=True)
            leg.refuse("gateway", "no codec process could be started")
        finally:
            self._deliveries.flush([leg])
            self._processes_of.pop(leg, None)
            # Elsewhere, since this may be cancelled at any time.
            _keep(self._clearing, self._clear_away(starting))

    async def _clear_away(self, starting: asyncio.Task[CodecProcess]) -> None:
        with contextlib.suppress(OSError, EOFError):
            await (await starting).stop()

    def _pass_on(self, leg: Leg, data: str | bytes) -> None:
        """What a codec process says goes to its browser; an error is the end."""
        if isinstance(data, bytes):
            leg.outbox.put_audio(data)
        else:
            found = json.loads(data)
            if found["type"] == "error":
                leg.refuse(found["code"], found["message"])
            else:
                leg.tell(data)
        self._deliveries.flush([leg])


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task and hold it until it is done: the event loop alone would not."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
