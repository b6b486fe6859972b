"""A process for each browser's codec, and the pipe to it.

Processes and not threads, because the relay's event loop shares its interpreter's lock with every
thread: a packet for somebody else would wait for it. They are forked off a server that has
already imported what is slow to import, where the system can do that.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from .call_settings import DEFAULT_COMPLEXITY
from .settings import DEFAULT_BITRATE

PIPE_HEADER = struct.Struct(">?I")
"""Whether a frame on the pipe is text, and its length in bytes."""

PIPE_BUFFER = 32_768
"""Bytes that wait on the pipe beyond which sound is dropped: a second at 16 kHz."""

STOP_SECONDS = 3.0
"""For which a process may say goodbye to the relay before it is ended."""

_PRELOAD = ["torch", "streamcodec", "streamcodec_call.browser_member"]


@dataclass(frozen=True)
class MemberSettings:
    """What a codec process is started with.

    Attributes
    ----------
    url : str
        Of the relay.
    room, name, token : str
    rate : int
        Sampling rate of the browser's sound, Hz.
    muted : bool
        At the start.
    bitrate, complexity, low_delay
        As for ``streamcodec call join``.
    """

    url: str
    room: str
    name: str
    token: str = field(repr=False)
    rate: int
    muted: bool = False
    bitrate: int = DEFAULT_BITRATE
    complexity: int = DEFAULT_COMPLEXITY
    low_delay: bool = False


async def read_frame(reader: asyncio.StreamReader) -> str | bytes | None:
    """The next frame of the pipe; None when the other side has closed it."""
    try:
        is_text, size = PIPE_HEADER.unpack(await reader.readexactly(PIPE_HEADER.size))
        data = await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return data.decode() if is_text else data


def write_frame(writer: asyncio.StreamWriter, data: str | bytes) -> bool:
    """Write a frame without waiting; False if it is lost.

    That is where the other side has closed the pipe, or is too slow for more sound.
    """
    if writer.is_closing():
        return False
    is_text = isinstance(data, str)
    if not is_text and writer.transport.get_write_buffer_size() > PIPE_BUFFER:
        return False
    body = data.encode() if isinstance(data, str) else data
    writer.write(PIPE_HEADER.pack(is_text, len(body)) + body)
    return True


class CodecProcess:
    """A codec process that runs; made by :class:`CodecProcesses`."""

    def __init__(
        self,
        process: BaseProcess,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.dropped = 0
        """Frames of sound that it was too slow for."""

    @property
    def pid(self) -> int | None:
        """The process's number."""
        return self._process.pid

    def send(self, data: str | bytes) -> None:
        """Hand a frame over; sound is dropped where it is too slow."""
        self.dropped += not write_frame(self._writer, data)

    async def frames(self) -> AsyncIterator[str | bytes]:
        """What comes back, until it ends."""
        while (data := await read_frame(self._reader)) is not None:
            yield data

    async def stop(self) -> None:
        """Let it leave the room, and end it."""
        self._writer.close()  # which tells it to leave
        loop = asyncio.get_running_loop()
        for end in (self._process.terminate, self._process.kill):
            await loop.run_in_executor(None, self._process.join, STOP_SECONDS)
            if not self._process.is_alive():
                break
            end()
        await loop.run_in_executor(None, self._process.join, STOP_SECONDS)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class CodecProcesses:
    """Start codec processes."""

    def __init__(self) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            self._context.set_forkserver_preload(_PRELOAD)
        # Starting the first one takes seconds, and blocks.
        self._starter = ThreadPoolExecutor(1, "codec-start")

    def prepare(self) -> None:
        """Have what is slow to import imported, since a process will soon be wanted."""
        if self._context.get_start_method() == "forkserver":
            from multiprocessing.forkserver import ensure_running

            self._starter.submit(ensure_running)

    async def start(self, settings: MemberSettings) -> CodecProcess:
        """A process that takes part in a call for a browser."""
        from .browser_member import run_member

        ours, theirs = socket.socketpair()
        process = self._context.Process(target=run_member, args=(theirs, settings), daemon=True)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._starter, process.start)
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return CodecProcess(process, reader, writer)

    def close(self) -> None:
        """No more will be started."""
        self._starter.shutdown(wait=False, cancel_futures=True)
