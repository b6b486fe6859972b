"""Latency, memory and processor time of the call relay under many members.

One relay process; members are bare sockets of this process, so that they cost little beside it.
One member of each room sends a packet every 80 ms, the others receive. The latency of a packet is
from just before it is written by the sender to just after it is read by a receiver, both here, so
it includes this process's own delays.

    python -m bench.call_relay [--members 1000] [--rooms 250] [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from streamcodec_call.protocol import AudioFrame, Hello, build_audio, build_text

PACKET_SECONDS = 0.08
PACKET_BYTES = 20
"""What 80 ms take at 2 kbit/s."""

STAMP = struct.Struct(">d")
MODEL = "0" * 16
STAMP_END = 2 + 11 + STAMP.size
"""Bytes of a frame up to the end of the stamp: websocket header, call header, stamp."""

TEXT = 0x81
BINARY = 0x82
MASKED = 0x80
SHORT = 125
"""Of RFC 6455, section 5.2: first byte of final frames, mask bit, longest length in one byte."""

CONNECT_AT_ONCE = 20
SETTLE_SECONDS = 1.0
WAIT_SECONDS = 60.0


def frame(kind: int, payload: bytes) -> bytes:
    """A client's websocket frame; the mask is zero, so the payload stays as it is."""
    size = len(payload)
    length = (
        bytes([MASKED | size]) if size <= SHORT else bytes([MASKED | 126]) + size.to_bytes(2, "big")
    )
    return bytes([kind]) + length + bytes(4) + payload


class Member(asyncio.Protocol):
    """One connection; latencies of what it hears go to a list that all share."""

    def __init__(self, room: int, latencies: list[float]) -> None:
        self._hello = build_text(Hello(1, f"room-{room}", "member", MODEL, 2)).encode()
        self._latencies = latencies
        self._pending = b""
        self._upgraded = False
        self.welcome = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a websocket and say hello."""
        self.transport = transport  # type: ignore[assignment]
        request = (
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.transport.write(request.encode() + frame(TEXT, self._hello))

    def data_received(self, data: bytes) -> None:
        """Read frames; the time is taken first."""
        now = time.perf_counter()
        data = self._pending + data
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._pending = data
                return
            self._upgraded = True
            data = data[end + 4 :]
        while len(data) >= 4:
            size, start = data[1], 2
            if size > SHORT:
                size, start = int.from_bytes(data[2:4], "big"), 4
            if len(data) < start + size:
                break
            if data[0] == BINARY:
                (sent,) = STAMP.unpack_from(data, STAMP_END - STAMP.size)
                self._latencies.append(now - sent)
            elif not self.welcome.done():
                self.welcome.set_result(None)
            data = data[start + size :]
        self._pending = data

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that breaks early is a failure of the measurement."""
        if not self.welcome.done():
            self.welcome.set_exception(error or ConnectionError("closed before the welcome"))


async def speak(member: Member, offset: float, until: float) -> int:
    """Send packets on time until ``until``; how many."""
    count = 0
    start = time.perf_counter() + offset
    while (due := start + count * PACKET_SECONDS) < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        packet = STAMP.pack(time.perf_counter()) + bytes(PACKET_BYTES - STAMP.size)
        sound = build_audio(AudioFrame(0, count, count * 1280, packet))
        member.transport.write(frame(BINARY, sound))
        count += 1
    return count


async def enter(port: int, rooms: int, members: int, latencies: list[float]) -> list[Member]:
    """Connect everyone, a few at a time; member n is in room n modulo ``rooms``."""
    loop = asyncio.get_running_loop()
    here: list[Member] = []
    for first in range(0, members, CONNECT_AT_ONCE):
        group = range(first, min(first + CONNECT_AT_ONCE, members))
        made = await asyncio.gather(
            *(
                loop.create_connection(partial(Member, n % rooms, latencies), "127.0.0.1", port)
                for n in group
            )
        )
        here += [member for _, member in made]
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(*(member.welcome for _, member in made))
    return here


def memory(process: int) -> int:
    """Resident bytes of a process (Linux)."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_seconds(process: int) -> float:
    """Processor time that a process has taken (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(relay: int, port: int, options: argparse.Namespace) -> dict[str, float]:
    """Connect, speak for a while, and give the figures."""
    latencies: list[float] = []
    empty = memory(relay)
    members = await enter(port, options.rooms, options.members, latencies)
    await asyncio.sleep(SETTLE_SECONDS)
    idle = memory(relay)
    before, began = processor_seconds(relay), time.perf_counter()
    speakers = members[: options.rooms]
    sent = await asyncio.gather(
        *(
            speak(member, PACKET_SECONDS * n / len(speakers), began + options.seconds)
            for n, member in enumerate(speakers)
        )
    )
    busy = (processor_seconds(relay) - before) / (time.perf_counter() - began)
    await asyncio.sleep(SETTLE_SECONDS)
    loaded = memory(relay)
    expected = sum(
        count * (len(range(n, options.members, options.rooms)) - 1) for n, count in enumerate(sent)
    )
    for member in members:
        member.transport.abort()
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "members": len(members),
        "rooms": options.rooms,
        "seconds": options.seconds,
        "packets_delivered": len(latencies),
        "packets_lost": expected - len(latencies),
        "latency_ms_p50": 1e3 * p50,
        "latency_ms_p99": 1e3 * p99,
        "latency_ms_max": 1e3 * max(latencies),
        "memory_kb_per_member_idle": (idle - empty) / 1024 / len(members),
        "memory_kb_per_member": (loaded - empty) / 1024 / len(members),
        "memory_mb_empty": empty / 2**20,
        "processor_share": busy,
    }


def main() -> None:
    """Run the measurement and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rooms", type=int, default=250)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not 0 < options.rooms <= options.members / 2:
        parser.error("every room needs two members")
    relay = subprocess.Popen(
        [
            sys.executable, "-m", "streamcodec_call", "call", "serve", "--port", "0",
            "--max-rooms", str(options.rooms),
            "--max-peers", str(-(-options.members // options.rooms)),
            "--max-per-address", "0", "--max-gateway", "0",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if relay.stdout is None:
            raise RuntimeError("the relay has no output")
        port = int(relay.stdout.readline().rpartition(":")[2])
        figures = asyncio.run(measure(relay.pid, port, options))
    finally:
        relay.terminate()
        relay.wait()
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key.replace('_', ' '):<28} {value:.2f}")


if __name__ == "__main__":
    main()
