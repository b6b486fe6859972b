"""The relay, the web page and the gateway on a socket: a thin shell around the other modules."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import time
from functools import partial
from hmac import compare_digest
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from .delivery import GOING_AWAY, SLOW_SECONDS, Deliveries
from .errors import CallError
from .gateway import Gateway
from .leg import LEG_PATH
from .origin import OriginCheck
from .protocol import MAX_TEXT
from .ratelimit import AddressLimits
from .room import Peer, Relay
from .settings import ServerSettings, tls_context
from .web import INDEX, Site, text_response

READ_QUEUE = 8
"""Frames read ahead from a connection."""

CLOSE_SECONDS = 2.0
"""For which a closing handshake, and a shutdown, wait."""

REFUSED_SECONDS = 2.0
"""For which a connection that is one too many may stay."""

LOOPBACK = "127.0.0.1"

log = logging.getLogger(__name__)


class _Connection(ServerConnection):
    """A connection that counts for its address from its first byte to its last."""

    def __init__(
        self, limits: AddressLimits, protocol: ServerProtocol, server: Server, **options: Any
    ) -> None:
        super().__init__(protocol, server, **options)
        self._limits = limits
        self.address = ""
        self.admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else ""
        self.admitted = self._limits.open(self.address, time.monotonic())
        if not self.admitted:  # long enough to be told so
            self.loop.call_later(REFUSED_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._limits.close(self.address)


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
        self.gateway = Gateway(settings.gateway, self.relay.admits, SLOW_SECONDS)
        self._limits = AddressLimits(settings.max_per_address)
        self._origins = OriginCheck(
            settings.origins, settings.host, tls=settings.tls_cert is not None
        )
        self._site = Site()
        self._deliveries: Deliveries[Peer] = Deliveries(SLOW_SECONDS)
        self._connections = self._deliveries.connections
        self._server: Server | None = None
        self._inner: Server | None = None
        self._inner_path = f"/{secrets.token_urlsafe()}"
        self._ticker: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where native clients on this machine reach it."""
        return f"{'wss' if self._settings.tls_cert else 'ws'}://{self._host}:{self.port}"

    @property
    def page_url(self) -> str:
        """Where browsers on this machine find the page."""
        return f"{'https' if self._settings.tls_cert else 'http'}://{self._host}:{self.port}/"

    @property
    def _host(self) -> str:
        host = self._settings.host
        return f"[{host}]" if ":" in host else host

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._server is None:
            raise CallError("the relay does not listen yet; enter it with 'async with'")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def __aenter__(self) -> CallServer:
        settings = self._settings
        common: dict[str, Any] = {
            "compression": None,  # packets are compressed; deflate would cost 300 KB a member
            "max_size": MAX_TEXT,
            "max_queue": READ_QUEUE,
            "ping_interval": None,  # clients ping; the relay drops who is silent
            "close_timeout": CLOSE_SECONDS,
            "server_header": None,
            "logger": _quiet_logger(),
        }
        try:
            self._server = await serve(
                self._handle,
                settings.host,
                settings.port,
                ssl=tls_context(settings),
                process_request=self._admit,
                create_connection=partial(_Connection, self._limits),  # type: ignore[arg-type]
                **common,
            )
        except OSError as error:
            raise CallError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error};"
                " choose another --host or --port"
            ) from error
        if settings.gateway.max_browsers:
            # Codec processes reach the relay here: no TLS between ours, no limit of an address.
            self._inner = await serve(
                self._handle_ours, LOOPBACK, 0, process_request=self._admit_ours, **common
            )
            port = next(iter(self._inner.sockets)).getsockname()[1]
            self.gateway.relay_url = f"ws://{LOOPBACK}:{port}{self._inner_path}"
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self._deliveries.flush(self.relay.close())
        await self.gateway.close()
        for server in filter(None, (self._server, self._inner)):
            server.close(code=GOING_AWAY)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 2 * CLOSE_SECONDS)
        self._deliveries.stop()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request that is for no websocket, or refuse one that is."""
        headers = request.headers
        if isinstance(connection, _Connection) and not connection.admitted:
            return text_response(
                HTTPStatus.TOO_MANY_REQUESTS, "too many connections from this address"
            )
        page = bool(self._settings.gateway.max_browsers)
        if not headers.get_all("Upgrade"):
            if not page:
                return text_response(HTTPStatus.NOT_FOUND, "this relay has no web page")
            if request.path.partition("?")[0] in ("/", f"/{INDEX}"):
                self.gateway.prepare()
            return self._site.respond(request)
        if not self._origins.admits(headers.get_all("Origin"), headers.get_all("Host")):
            return text_response(
                HTTPStatus.FORBIDDEN,
                "pages of this origin may not connect; the server's --origin lists those that may",
            )
        full = self.gateway.full if page and request.path == LEG_PATH else self.relay.full
        if full:
            return text_response(HTTPStatus.SERVICE_UNAVAILABLE, "the relay is full")
        return None

    def _admit_ours(self, _connection: ServerConnection, request: Request) -> Response | None:
        """Codec processes know a path that nobody else does."""
        if compare_digest(request.path.encode(), self._inner_path.encode()):
            return None
        return text_response(HTTPStatus.FORBIDDEN, "this port is not for you")

    async def _handle(self, connection: ServerConnection) -> None:
        request, page = connection.request, self._settings.gateway.max_browsers
        if page and request is not None and request.path == LEG_PATH:
            closing = await self.gateway.serve(connection)
            log.info("browser gone (%s)", closing or "connection closed")
        else:
            closing = await self._relay_frames(connection)
        if closing == "token" and isinstance(connection, _Connection):
            self._limits.wrong_token(connection.address, time.monotonic())

    async def _handle_ours(self, connection: ServerConnection) -> None:
        await self._relay_frames(connection)

    async def _relay_frames(self, connection: ServerConnection) -> str:
        """Serve a member of the relay; gives why it was closed, empty if it went."""
        peer = self.relay.connect(time.monotonic())
        self._deliveries.attach(peer, connection)
        log.info("peer %d connected", peer.number)
        try:
            async for data in connection:
                self._deliveries.flush(self.relay.receive(peer, data, time.monotonic()))
        except ConnectionClosed:
            pass
        finally:
            self._deliveries.detach(peer)
            self._deliveries.flush(self.relay.disconnect(peer, time.monotonic()))
            log.info("peer %d gone (%s)", peer.number, peer.closing or "connection closed")
        return peer.closing

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            self._deliveries.flush(self.relay.tick(now))
            self.gateway.tick(now)
            self._limits.tick(now)


async def run_server(settings: ServerSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with CallServer(settings) as server:
        print(f"relay listening on {server.url}", flush=True)
        if settings.gateway.max_browsers:
            print(f"web page at {server.page_url}", flush=True)
        await stop.wait()
    print(f"relay stopped; {server.relay.relayed} packets relayed", flush=True)


def _quiet_logger() -> logging.Logger:
    """A logger for websockets that stays silent: it would repeat what peers send."""
    logger = logging.getLogger(f"{__name__}.websockets")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
