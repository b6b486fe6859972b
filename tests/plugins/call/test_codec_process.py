"""The pipe to a codec process, whose own work ``test_gateway`` tests."""

from __future__ import annotations

import asyncio
import socket

import pytest
from streamcodec_call.codec_process import PIPE_BUFFER, PIPE_HEADER, read_frame, write_frame


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 10.0))


async def pipe():
    ours, theirs = socket.socketpair()
    return await asyncio.open_connection(sock=ours), await asyncio.open_connection(sock=theirs)


def test_frames_survive_the_pipe():
    async def scene():
        (_, writer), (reader, _) = await pipe()
        frames = ["Zoë", b"", b"\x01\x02", "", "x" * 300_000]
        for frame in frames:
            assert write_frame(writer, frame)
        writer.close()
        found = []
        while (frame := await read_frame(reader)) is not None:
            found.append(frame)
        assert found == frames

    run(scene())


@pytest.mark.parametrize("rest", [b"", b"\x01", PIPE_HEADER.pack(False, 5) + b"abc"])
def test_a_pipe_that_is_closed_in_the_middle_is_the_end(rest):
    async def scene():
        (_, writer), (reader, _) = await pipe()
        writer.write(rest)
        writer.close()
        assert await read_frame(reader) is None

    run(scene())


def test_sound_is_dropped_where_the_other_side_is_too_slow_and_control_is_not():
    async def scene():
        (_, writer), _ = await pipe()
        sent = 0
        while write_frame(writer, bytes(1000)):
            sent += 1
            assert sent < 10_000
        assert writer.transport.get_write_buffer_size() <= PIPE_BUFFER + 2000
        assert write_frame(writer, "mute")
        writer.transport.abort()

    run(scene())


def test_nothing_is_written_to_a_closed_pipe():
    async def scene():
        (_, writer), _ = await pipe()
        writer.close()
        assert not write_frame(writer, "late")

    run(scene())
