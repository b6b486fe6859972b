"""Frames to receivers that may read slowly, at no cost to anybody else.

A frame is written to a receiver's connection at once where its send buffer is short: that takes
no task and no wait. Where it is not, frames collect in the receiver's bounded outbox and a task
sends them as fast as the receiver reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from .outbox import Outbox

SEND_BUFFER = 8192
"""Bytes waiting in a connection's send buffer beyond which frames go to the outbox."""

SLOW_SECONDS = 15.0
"""Within which a receiver that is behind must read something, or it is dropped."""

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
"""Close codes of RFC 6455, section 7.4.1."""

_CLOSE_CODES = {"left": NORMAL_CLOSURE, "closing": GOING_AWAY}


class Receiver(Protocol):
    """Whom frames are for: a peer of the relay, a browser of the gateway."""

    closing: str
    """Why the connection is to be closed once the outbox is sent; empty if it is not."""

    @property
    def outbox(self) -> Outbox:
        """What waits for it."""


R = TypeVar("R", bound=Receiver)


class Deliveries(Generic[R]):
    """The connections of receivers, and who of them is behind."""

    def __init__(self, slow_seconds: float = SLOW_SECONDS) -> None:
        self._slow_seconds = slow_seconds
        self._drains: dict[R, asyncio.Task[None]] = {}
        self.connections: dict[R, ServerConnection] = {}

    def attach(self, receiver: R, connection: ServerConnection) -> None:
        """Deliver to ``receiver`` through ``connection``."""
        self.connections[receiver] = connection

    def detach(self, receiver: R) -> None:
        """The connection is gone, and what waits is lost."""
        del self.connections[receiver]
        drain = self._drains.pop(receiver, None)
        if drain is not None:
            drain.cancel()

    def flush(self, woken: Iterable[R]) -> None:
        """Send what waits for these receivers as far as they read; the rest follows by itself."""
        for receiver in woken:
            connection = self.connections.get(receiver)
            if connection is None or receiver in self._drains:
                continue
            transport, outbox = connection.transport, receiver.outbox
            while len(outbox) and transport.get_write_buffer_size() <= SEND_BUFFER:
                broadcast((connection,), outbox.pop())
            if len(outbox) or receiver.closing:
                self._drains[receiver] = asyncio.create_task(self._drain(receiver, connection))

    def stop(self) -> None:
        """Give up on whoever is still behind."""
        for task in list(self._drains.values()):
            task.cancel()

    async def _drain(self, receiver: R, connection: ServerConnection) -> None:
        """Send as fast as the receiver reads, then close if that is wanted."""
        outbox = receiver.outbox
        try:
            while len(outbox) and receiver.closing != "slow":
                await asyncio.wait_for(connection.send(outbox.pop()), self._slow_seconds)
            if receiver.closing:
                code = _CLOSE_CODES.get(receiver.closing, POLICY_VIOLATION)
                await connection.close(code, receiver.closing)
        except TimeoutError:
            receiver.closing = "slow"
            connection.transport.abort()
        except ConnectionClosed:
            pass
        finally:
            self._drains.pop(receiver, None)
