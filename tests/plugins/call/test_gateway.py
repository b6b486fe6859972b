"""Browsers' connections to the gateway, over real sockets; some with the real codec process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time

import numpy as np
import pytest
from streamcodec_call import server as server_module
from streamcodec_call.call_settings import CallSettings
from streamcodec_call.client import CallClient
from streamcodec_call.leg import LEG_PATH, PCM, SILENCE, build, build_pcm, parse_pcm
from streamcodec_call.media import FileSource, NoSink, NoSource
from streamcodec_call.ratelimit import REQUEST_BURST
from streamcodec_call.server import CallServer
from streamcodec_call.settings import GatewaySettings, ServerSettings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.plugins.call.sounds import RATE, Recorder, best_match, speech_file
from tests.signals import real_speech

HELLO = {"version": 1, "room": "r", "name": "ann", "rate": 16_000}
START_SECONDS = 90.0
"""For a codec process to start on a busy machine."""


def run(coroutine, seconds=240.0):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


def server(max_browsers=2, **settings):
    gateway = GatewaySettings(max_browsers, complexity=0)
    return CallServer(ServerSettings(port=0, gateway=gateway, **settings))


async def open_leg(calls, **options):
    return await connect(
        calls.url + LEG_PATH, compression=None, proxy=None, ping_interval=None, **options
    )


async def next_text(connection, kind):
    """The next text frame of a type."""
    while True:
        data = await asyncio.wait_for(connection.recv(), START_SECONDS)
        if isinstance(data, str) and (found := json.loads(data))["type"] == kind:
            return found


async def enter(calls, **fields):
    """A browser that is in the room."""
    leg = await open_leg(calls)
    await leg.send(build("hello", **{**HELLO, **fields}))
    await next_text(leg, "welcome")
    return leg


async def refusal(leg):
    """Code of the error and of the closing after it."""
    found = await next_text(leg, "error")
    with pytest.raises(ConnectionClosed) as closed:
        await leg.recv()
    return found["code"], closed.value.rcvd.code


async def empty(calls):
    """Wait until no codec process is left."""
    deadline = time.monotonic() + 30.0
    while calls.gateway.browsers and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return calls.gateway.browsers == 0


# -- without a codec


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (build("hello", **{**HELLO, "version": 9}), "version"),
        (build("hello", **HELLO), "token"),
        (build("hello", **{**HELLO, "room": "<b>"}), "malformed"),
        (build_pcm(0, np.zeros(320)), "malformed"),
        ("{", "malformed"),
    ],
)
def test_who_may_not_enter_gets_no_codec(frame, code):
    async def scene():
        async with server(token="key") as calls:
            leg = await open_leg(calls)
            await leg.send(frame)
            assert await refusal(leg) == (code, 1008)
            assert calls.gateway.browsers == 0
            assert calls.relay.members == 0

    run(scene())


@pytest.mark.parametrize("data", ["x" * 5000, b"\x01" * 5000])
def test_frames_that_are_too_long_close_the_connection(data):
    async def scene():
        async with server() as calls:
            leg = await open_leg(calls)
            await leg.send(data)
            with pytest.raises(ConnectionClosed) as closed:
                await leg.recv()
            assert closed.value.rcvd.code == 1009

    run(scene())


def test_only_our_own_page_may_connect():
    async def scene():
        async with server(origins=("https://ours.example",)) as calls:
            own = calls.page_url.rstrip("/")
            for origin in (own, "https://ours.example"):
                await (await open_leg(calls, origin=origin)).close()
            for origin in ("https://evil.example", own.replace("http", "https"), "null"):
                with pytest.raises(InvalidStatus) as refused:
                    await open_leg(calls, origin=origin)
                assert refused.value.response.status_code == 403
                assert origin.encode() not in refused.value.response.body or origin == own

    run(scene())


def test_a_name_that_was_made_to_point_here_is_no_way_in():
    async def scene():
        async with server() as calls:
            stranger = f"evil.example:{calls.port}"
            with pytest.raises(InvalidStatus) as refused:
                # DNS rebinding: the stranger's page is asked for, and connects, under its name.
                await connect(
                    f"ws://{stranger}{LEG_PATH}", origin=f"http://{stranger}", proxy=None,
                    sock=socket.create_connection(("127.0.0.1", calls.port)),
                )  # fmt: skip
            assert refused.value.response.status_code == 403

    run(scene())


def test_guessing_tokens_is_slow():
    async def scene():
        async with server(token="key") as calls:
            guesses = 0
            with contextlib.suppress(InvalidStatus):
                while guesses < REQUEST_BURST:
                    leg = await open_leg(calls)
                    await leg.send(build("hello", **HELLO, token=str(guesses)))
                    assert (await refusal(leg))[0] == "token"
                    guesses += 1
            with pytest.raises(InvalidStatus) as refused:
                await open_leg(calls)
            assert refused.value.response.status_code == 429
            assert guesses < REQUEST_BURST / 4

    run(scene())


def test_connections_of_an_address_are_limited_and_freed():
    async def scene():
        async with server(max_per_address=3) as calls:
            legs = [await open_leg(calls) for _ in range(3)]
            with pytest.raises(InvalidStatus) as refused:
                await open_leg(calls)
            assert refused.value.response.status_code == 429
            for leg in legs:
                await leg.close()
            await asyncio.sleep(0.1)
            await (await open_leg(calls)).close()

    run(scene())


def test_connections_that_say_nothing_count_and_are_closed(monkeypatch):
    monkeypatch.setattr(server_module, "REFUSED_SECONDS", 0.2)

    async def scene():
        async with server(max_per_address=2) as calls:
            silent = [await asyncio.open_connection("127.0.0.1", calls.port) for _ in range(5)]
            async with asyncio.timeout(5.0):
                for reader, _ in silent[2:]:
                    with contextlib.suppress(ConnectionError):
                        assert await reader.read() == b""
            for _, writer in silent:
                writer.close()

    run(scene())


def test_the_port_for_codec_processes_is_for_nobody_else():
    async def scene():
        async with server() as calls:
            inner = calls.gateway.relay_url.rpartition("/")[0]
            for path in ("", "/", LEG_PATH, "/guess"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(inner + path, proxy=None)
                assert refused.value.response.status_code == 403

    run(scene())


def test_random_bytes_on_the_leg_do_no_harm():
    rng = np.random.default_rng(3)

    async def scene():
        async with server() as calls:
            for n in range(30):
                leg = await open_leg(calls)
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(n % 4):
                        await leg.send(rng.bytes(int(rng.integers(0, 4000))))
                        await leg.send("\u0000" * int(rng.integers(0, 4000)))
                await leg.close()
            assert calls.gateway.browsers == 0
            await (await open_leg(calls)).close()

    run(scene())


# -- with the codec


def test_a_browser_and_a_native_client_hear_each_other(tmp_path):
    speech = real_speech(4.0)

    async def scene():
        async with server(token="key") as calls:
            recorder = Recorder()
            native = CallClient(
                CallSettings(calls.url, "r", "bob", "key", complexity=0), NoSource(), recorder
            )
            calling = asyncio.create_task(native.run())
            await native.connected.wait()
            leg = await enter(calls, token="key")
            found = await next_text(leg, "members")
            while not found["members"]:
                found = await next_text(leg, "members")
            assert [m["name"] for m in found["members"]] == ["bob"]
            assert found["members"][0]["heard"] is True
            began = time.monotonic()
            for n in range(len(speech) // 320):
                await asyncio.sleep(max(0.0, began + 0.02 * (n + 1) - time.monotonic()))
                await leg.send(build_pcm(n, speech[320 * n : 320 * (n + 1)]))
            await asyncio.sleep(1.5)
            native.stop()
            figures = await calling
            # Now the other way, by a native client that has something to say.
            talker = CallClient(
                CallSettings(calls.url, "r", "eve", "key", complexity=0),
                FileSource(speech_file(tmp_path, 4.0)), NoSink(),
            )  # fmt: skip
            heard = asyncio.create_task(_listen(leg))
            await talker.run()
            await asyncio.sleep(0.5)
            await leg.close()
            assert await empty(calls)
            assert calls.relay.members == 0
            return recorder.sound, figures, await heard

    at_native, figures, (at_browser, frames, texts) = run(scene())
    assert best_match(speech, at_native)[1] > 0.7
    # Codec packets, each of them twice where frames come late.
    assert 8e-3 * figures["bytes_received"] / 4.0 < 6.0
    assert figures["malformed"] == figures["damaged"] == 0
    assert best_match(speech, at_browser)[1] > 0.7
    # It is told when sound stops, and gets none then.
    assert frames[-1] == SILENCE
    assert frames.count(PCM) < 50 * 12
    values = [text["values"] for text in texts if text["type"] == "figures"]
    assert max(value["received-kbit-s"] for value in values) > 0.5
    assert values[-1]["played"] > 20


async def _listen(leg):
    """Sound, kinds of binary frames and control messages until the connection is closed."""
    blocks, kinds, texts = [], [], []
    stopped = time.monotonic()
    with contextlib.suppress(ConnectionClosed):
        async for data in leg:
            if isinstance(data, str):
                texts.append(json.loads(data))
            elif data[0] == SILENCE:
                stopped = time.monotonic()
                kinds.append(SILENCE)
            elif data[0] == PCM:
                if not kinds or kinds[-1] == SILENCE:
                    pause = round((time.monotonic() - stopped) * RATE)
                    blocks.append(np.zeros(pause, np.float32))
                blocks.append(parse_pcm(data))
                kinds.append(PCM)
    # A recording of its length is looked for in it.
    return np.concatenate([*blocks, np.zeros(2 * RATE, np.float32)]), kinds, texts


def test_browsers_beyond_the_limit_get_no_codec_until_one_leaves():
    async def scene():
        async with server(1) as calls:
            first = await enter(calls)
            second = await open_leg(calls)
            await second.send(build("hello", **HELLO))
            assert await refusal(second) == ("gateway-full", 1008)
            assert calls.relay.members == 1
            await first.send(build("leave"))
            assert await empty(calls)
            third = await enter(calls)
            await third.close()

    run(scene())


def test_a_codec_process_that_dies_is_said_and_cleared_away():
    async def scene():
        async with server(1) as calls:
            leg = await enter(calls)
            (process,) = calls.gateway._processes_of.values()
            os.kill(process.pid, signal.SIGKILL)
            assert await refusal(leg) == ("gateway", 1008)
            assert await empty(calls)
            await (await enter(calls, room="other")).close()

    run(scene())


def test_a_room_that_is_full_is_said_to_the_browser():
    async def scene():
        async with server(2, max_peers=1) as calls:
            await enter(calls)
            leg = await open_leg(calls)
            await leg.send(build("hello", **HELLO))
            assert await refusal(leg) == ("room-full", 1008)

    run(scene())


def test_a_browser_that_stops_reading_is_dropped_and_costs_nothing(monkeypatch):
    monkeypatch.setattr(server_module, "SLOW_SECONDS", 1.0)

    async def scene():
        async with server() as calls:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", calls.port))
            leg = await open_leg(calls, sock=raw, max_queue=1)
            await leg.send(build("hello", **HELLO))
            await next_text(leg, "welcome")
            (receiver,) = calls.gateway._deliveries.connections
            connection = calls.gateway._deliveries.connections[receiver]
            inside = connection.transport.get_extra_info("socket")
            inside.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            leg.transport.pause_reading()
            waiting = 0
            deadline = time.monotonic() + 60.0
            while receiver in calls.gateway._deliveries.connections:
                assert time.monotonic() < deadline
                receiver.outbox.put_audio(bytes(644))
                calls.gateway._deliveries.flush([receiver])
                waiting = max(waiting, connection.transport.get_write_buffer_size())
                await asyncio.sleep(0.005)
            assert receiver.closing == "slow"
            assert waiting < 65_536
            assert await empty(calls)
            leg.transport.abort()

    run(scene())


def test_shutdown_tells_browsers_and_ends_their_codecs():
    async def scene():
        async with server() as calls:
            leg = await enter(calls)
            (process,) = calls.gateway._processes_of.values()
            pid = process.pid
        assert await refusal(leg) == ("closing", 1001)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(scene())
