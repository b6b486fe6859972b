"""The relay over real loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
from streamcodec_call import server as server_module
from streamcodec_call.errors import CallError
from streamcodec_call.outbox import MAX_OUTBOX_AUDIO
from streamcodec_call.protocol import (
    AudioFrame,
    Error,
    Hello,
    Leave,
    Welcome,
    build_audio,
    build_text,
    parse_binary,
    parse_text,
)
from streamcodec_call.server import CallServer, ServerSettings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

MODEL = "0123456789abcdef"

CERTIFICATE = Path(__file__).parent / "loopback.pem"
"""Key and self-signed certificate of 127.0.0.1, for these tests alone, valid for a century."""


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20.0))


def relay(**settings):
    return CallServer(ServerSettings(port=0, **settings))


async def enter(url, name="ann", room="r", **fields):
    connection = await connect(url, compression=None, proxy=None, ping_interval=None)
    await connection.send(build_text(Hello(1, room, name, MODEL, 2, **fields)))
    return connection, parse_text(await connection.recv(), 1 << 18)


def sound(n=0, packet=b"packet"):
    return build_audio(AudioFrame(0, n, n * 1280, packet))


def test_two_members_exchange_packets_unchanged():
    async def scene():
        async with relay() as server:
            ann, welcome = await enter(server.url)
            bob, _ = await enter(server.url, "bob")
            assert isinstance(welcome, Welcome)
            await ann.recv()
            await ann.send(sound(9, bytes(range(200))))
            assert parse_binary(await bob.recv()) == AudioFrame(1, 9, 11520, bytes(range(200)))
            await ann.send(build_text(Leave()))
            assert parse_text(await bob.recv()) == Leave(1)
            with pytest.raises(ConnectionClosed) as closed:
                await ann.recv()
            assert closed.value.rcvd.code == 1000
            await bob.close()

    run(scene())


def test_a_wrong_token_is_refused():
    async def scene():
        async with relay(token="secret") as server:
            eve, answer = await enter(server.url, token="guess")
            assert isinstance(answer, Error)
            assert answer.code == "token"
            with pytest.raises(ConnectionClosed) as closed:
                await eve.recv()
            assert closed.value.rcvd.code == 1008
            _, answer = await enter(server.url, token="secret")
            assert isinstance(answer, Welcome)

    run(scene())


def test_pages_of_other_origins_are_refused():
    async def scene():
        async with relay(origins=("https://ours.example",)) as server:
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.url, origin="https://evil.example", proxy=None)
            assert refused.value.response.status_code == 403
            for origin in (None, "https://ours.example"):
                await (await connect(server.url, origin=origin, proxy=None)).close()

    run(scene())


def test_a_full_relay_takes_no_more_connections():
    async def scene():
        async with relay(max_rooms=1, max_peers=2) as server:
            for _ in range(2):
                await enter(server.url)
            with pytest.raises(InvalidStatus) as refused:
                await enter(server.url)
            assert refused.value.response.status_code == 503

    run(scene())


@pytest.mark.parametrize("data", ["x" * 5000, b"\x01" * 5000])
def test_frames_that_are_too_long_close_the_connection(data):
    async def scene():
        async with relay() as server:
            ann, _ = await enter(server.url)
            await ann.send(data)
            with pytest.raises(ConnectionClosed) as closed:
                await ann.recv()
            assert closed.value.rcvd.code == 1009
            await asyncio.sleep(0.05)
            _, answer = await enter(server.url)
            assert isinstance(answer, Welcome)

    run(scene())


def test_nothing_that_a_peer_sends_is_logged(caplog):
    async def scene():
        async with relay() as server:
            ann, _ = await enter(server.url, "EVIL")
            await ann.send('{"type":"EVIL\\n"')
            with contextlib.suppress(ConnectionClosed):
                await ann.recv()
                await ann.recv()

    with caplog.at_level("DEBUG"):
        run(scene())
    records = [r for r in caplog.records if r.name.startswith("streamcodec_call")]
    assert any("gone" in record.getMessage() for record in records)
    assert not any("EVIL" in record.getMessage() for record in records)


async def _deaf(port, room):
    """A member that never reads: a bare socket with a small receive buffer."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    hello = build_text(Hello(1, room, "deaf", MODEL, 2)).encode()
    request = (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    # Masked with zeros, as RFC 6455 section 5.3 allows: the payload stays as it is.
    frame = bytes([0x81, 0x80 | 126]) + len(hello).to_bytes(2, "big") + bytes(4) + hello
    await asyncio.get_running_loop().sock_sendall(raw, request.encode() + frame)
    return raw


def test_a_receiver_that_stops_reading_costs_others_nothing(monkeypatch):
    monkeypatch.setattr("streamcodec_call.room.AUDIO_RATE", 1e9)
    monkeypatch.setattr("streamcodec_call.room.AUDIO_BURST", 1e9)
    monkeypatch.setattr(server_module, "SLOW_SECONDS", 1.0)
    count = 3000

    async def scene():
        async with relay() as server:
            raw = await _deaf(server.port, "r")
            while server.relay.members < 1:
                await asyncio.sleep(0.01)
            (deaf,) = server._connections
            # What a kernel buffers for loopback would hide that nobody reads.
            connection = server._connections[deaf]
            connection.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
            )
            ann, _ = await enter(server.url)
            bob, _ = await enter(server.url, "bob")
            await ann.recv()
            latencies = []
            for n in range(count):
                began = time.perf_counter()
                await ann.send(sound(n, bytes(1000)))
                while isinstance(data := await bob.recv(), str):
                    pass  # word that the deaf one was dropped
                frame = parse_binary(data)
                latencies.append(time.perf_counter() - began)
                assert frame.sequence == n
            assert deaf.outbox.dropped > 0
            assert len(deaf.outbox) <= MAX_OUTBOX_AUDIO + 5
            assert connection.transport.get_write_buffer_size() < 65536
            assert sorted(latencies)[count // 2] < 0.01
            deadline = time.monotonic() + 5.0
            while server.relay.members > 2 and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            # Dropped in the end, its seat with it.
            assert server.relay.members == 2
            raw.close()

    run(scene())


def test_random_bytes_on_the_socket_do_no_harm():
    async def scene():
        rng = random.Random(5)
        async with relay() as server:
            for n in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"GET / HTTP/1.1\r\n" * (n % 2) + rng.randbytes(200 * n))
                with contextlib.suppress(OSError):
                    await writer.drain()
                writer.close()
                del reader
            _, answer = await enter(server.url)
            assert isinstance(answer, Welcome)

    run(scene())


def test_shutdown_tells_members_and_is_quick():
    async def scene():
        async with relay() as server:
            ann, _ = await enter(server.url)
            began = time.monotonic()
        assert time.monotonic() - began < 4.0
        assert parse_text(await ann.recv()).code == "closing"
        with pytest.raises(ConnectionClosed) as closed:
            await ann.recv()
        assert closed.value.rcvd.code == 1001

    run(scene())


def test_an_address_in_use_is_said_clearly():
    async def scene():
        async with relay() as server:
            with pytest.raises(CallError, match="cannot listen"):
                async with CallServer(ServerSettings(port=server.port)):
                    pass

    run(scene())


def test_a_missing_certificate_is_said_clearly(tmp_path):
    async def scene():
        with pytest.raises(CallError, match="certificate"):
            async with relay(tls_cert=tmp_path / "none.pem"):
                pass

    run(scene())


def test_a_connection_may_be_encrypted():
    async def scene():
        async with relay(tls_cert=CERTIFICATE) as server:
            assert server.url.startswith("wss://")
            trust = ssl.create_default_context(cafile=str(CERTIFICATE))
            connection = await connect(server.url, ssl=trust, proxy=None)
            await connection.send(build_text(Hello(1, "r", "ann", MODEL, 2)))
            assert isinstance(parse_text(await connection.recv()), Welcome)
            with pytest.raises(ssl.SSLError):
                await connect(server.url, proxy=None)

    run(scene())


def test_the_command_stops_in_order_on_sigterm():
    async def scene():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamcodec_call", "call", "serve", "--port", "0",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        url = (await process.stdout.readline()).split()[-1].decode()
        ann, answer = await enter(url)
        assert isinstance(answer, Welcome)
        process.send_signal(signal.SIGTERM)
        assert parse_text(await ann.recv()).code == "closing"
        assert await process.wait() == 0

    run(scene())
