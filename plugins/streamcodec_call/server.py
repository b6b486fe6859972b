"""The relay on a socket: a thin shell around :mod:`streamcodec_call.room`.

A frame is written to a receiver's connection at once where its send buffer is short: that takes
no task and no wait. Where it is not, frames collect in the receiver's bounded outbox and a task
sends them as fast as the receiver reads, so it delays nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Origin

from .errors import CallError
from .protocol import MAX_TEXT
from .room import DEFAULT_MAX_PEERS, DEFAULT_MAX_ROOMS, Peer, Relay

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765

SEND_BUFFER = 8192
"""Bytes waiting in a connection's send buffer beyond which frames go to the outbox."""

READ_QUEUE = 8
"""Frames read ahead from a connection."""

SLOW_SECONDS = 15.0
"""Within which a receiver that is behind must read something, or it is dropped."""

CLOSE_SECONDS = 2.0
"""For which a closing handshake, and a shutdown, wait."""

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
"""Close codes of RFC 6455, section 7.4.1."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSettings:
    """What the relay is started with.

    Attributes
    ----------
    host : str
    port : int
        0: any free one.
    token : str
        Empty: anyone may enter.
    tls_cert, tls_key : Path or None
        Certificate chain and key in PEM; the key may be in the certificate's file.
    max_rooms, max_peers : int
        Rooms, and members of one.
    origins : sequence of str
        Web origins whose pages may connect. Clients that are no browsers send none.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    token: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_rooms: int = DEFAULT_MAX_ROOMS
    max_peers: int = DEFAULT_MAX_PEERS
    origins: Sequence[str] = ()


class CallServer:
    """A relay that listens.

    Used as an asynchronous context manager: listening inside, shut down in order after it.

    Parameters
    ----------
    settings : ServerSettings

    Raises
    ------
    CallError
        When entered: the address cannot be listened on, or the certificate cannot be used.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.relay = Relay(
            settings.token, max_rooms=settings.max_rooms, max_peers=settings.max_peers
        )
        self._connections: dict[Peer, ServerConnection] = {}
        self._drains: dict[Peer, asyncio.Task[None]] = {}
        self._server: Server | None = None
        self._ticker: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it can be reached from this machine."""
        scheme = "wss" if self._settings.tls_cert else "ws"
        host = self._settings.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._server is None:
            raise CallError("the relay does not listen yet; enter it with 'async with'")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def __aenter__(self) -> CallServer:
        settings = self._settings
        try:
            self._server = await serve(
                self._handle,
                settings.host,
                settings.port,
                ssl=_tls(settings),
                origins=[None, *map(Origin, settings.origins)],
                process_request=self._admit,
                compression=None,  # packets are compressed; deflate would cost 300 KB a member
                max_size=MAX_TEXT,
                max_queue=READ_QUEUE,
                ping_interval=None,  # clients ping; the relay drops who is silent
                close_timeout=CLOSE_SECONDS,
                server_header=None,
                logger=_quiet_logger(),
            )
        except OSError as error:
            raise CallError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error};"
                " choose another --host or --port"
            ) from error
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self._flush(self.relay.close())
        if self._server is not None:
            self._server.close(code=GOING_AWAY)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 2 * CLOSE_SECONDS)
        for task in list(self._drains.values()):
            task.cancel()

    def _admit(self, connection: ServerConnection, _request: Request) -> Response | None:
        if self.relay.full:
            return connection.respond(503, "the relay is full\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        peer = self.relay.connect(time.monotonic())
        self._connections[peer] = connection
        log.info("peer %d connected", peer.number)
        try:
            async for data in connection:
                self._flush(self.relay.receive(peer, data, time.monotonic()))
        except ConnectionClosed:
            pass
        finally:
            del self._connections[peer]
            drain = self._drains.pop(peer, None)
            if drain is not None:
                drain.cancel()
            self._flush(self.relay.disconnect(peer, time.monotonic()))
            log.info("peer %d gone (%s)", peer.number, peer.closing or "connection closed")

    def _flush(self, woken: Iterable[Peer]) -> None:
        for peer in woken:
            connection = self._connections.get(peer)
            if connection is None or peer in self._drains:
                continue
            transport = connection.transport
            while len(peer.outbox) and transport.get_write_buffer_size() <= SEND_BUFFER:
                broadcast((connection,), peer.outbox.pop())
            if len(peer.outbox) or peer.closing:
                self._drains[peer] = asyncio.create_task(self._drain(peer, connection))

    async def _drain(self, peer: Peer, connection: ServerConnection) -> None:
        """Send as fast as the receiver reads, then close if the relay wants that."""
        try:
            while len(peer.outbox) and peer.closing != "slow":
                await asyncio.wait_for(connection.send(peer.outbox.pop()), SLOW_SECONDS)
            if peer.closing:
                code = _CLOSE_CODES.get(peer.closing, POLICY_VIOLATION)
                await connection.close(code, peer.closing)
        except TimeoutError:
            peer.closing = "slow"
            connection.transport.abort()
        except ConnectionClosed:
            pass
        finally:
            self._drains.pop(peer, None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._flush(self.relay.tick(time.monotonic()))


_CLOSE_CODES = {"left": NORMAL_CLOSURE, "closing": GOING_AWAY}


async def run_server(settings: ServerSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with CallServer(settings) as server:
        print(f"relay listening on {server.url}", flush=True)
        await stop.wait()
    print(f"relay stopped; {server.relay.relayed} packets relayed", flush=True)


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise CallError("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise CallError(f"the certificate or its key cannot be used: {error}") from error
    return context


def _quiet_logger() -> logging.Logger:
    """A logger for websockets that stays silent: it would repeat what peers send."""
    logger = logging.getLogger(f"{__name__}.websockets")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
