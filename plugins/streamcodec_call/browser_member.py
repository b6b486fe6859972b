"""A browser's part in a call, in a process of its own: the native client on a pipe.

Sound comes from and goes to the gateway's pipe instead of files or devices; everything else is
:class:`~streamcodec_call.client.CallClient`, so that the room sees an ordinary member.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from . import leg
from .client import CallClient, CallSettings
from .codec_process import MemberSettings, read_frame, write_frame
from .errors import CallError, ProtocolError, RefusedError
from .intake import Intake
from .jitter import MARGIN, SAMPLE_RATE
from .limits import MAX_LEVEL
from .media import Sink, Source

POLL_SECONDS = 0.01
"""Between looks at the intake: what this adds to the delay at most."""

LEVELS_SECONDS = 0.1
"""Between frames of levels."""

FIGURES_EVERY = 10
"""Frames of levels between two of figures: a second."""

QUIET_FRAMES = 10
"""Frames of nothing but zeros after which none are sent: 0.2 s."""

FRAME = round(leg.FRAME_SECONDS * SAMPLE_RATE)
"""Samples in a frame for the browser."""


class BrowserSource:
    """The browser's microphone."""

    channels = 1
    ends = False

    def __init__(self, rate: int) -> None:
        self.sample_rate = rate
        self.started: float | None = None
        self.intake = Intake(rate)

    async def blocks(self, seconds: float) -> AsyncIterator[np.ndarray]:
        """Blocks of ``seconds``, silence where nothing comes."""
        count = round(seconds * self.sample_rate)
        self.started = time.monotonic()
        self.intake.start(self.started)
        while True:
            block = self.intake.pull(count, time.monotonic())
            if block is None:
                await asyncio.sleep(POLL_SECONDS)
            else:
                yield block[:, None]

    def close(self) -> None:
        """Nothing to close."""


class BrowserSink:
    """The browser's loudspeaker; takes blocks that divide a frame."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.started: float | None = None
        self._send = send
        self._blocks: list[np.ndarray] = []
        self._held = 0
        self._sequence = 0
        self._quiet = QUIET_FRAMES

    def write(self, block: np.ndarray) -> None:
        """Add a block; a full frame goes to the browser."""
        if self.started is None:
            self.started = time.monotonic()
        self._blocks.append(block)
        self._held += len(block)
        if self._held < FRAME:
            return
        sound = np.concatenate(self._blocks)
        self._blocks, self._held = [], 0
        self._quiet = 0 if sound.any() else self._quiet + 1
        if self._quiet < QUIET_FRAMES:
            self._put(leg.build_pcm(self._sequence, sound))
        elif self._quiet == QUIET_FRAMES:
            self._put(leg.build_silence(self._sequence))

    def _put(self, data: bytes) -> None:
        self._send(data)
        self._sequence += 1

    def close(self) -> None:
        """Nothing to close."""


class BrowserMember(CallClient):
    """The native client, which can say how the call goes while it does."""

    def __init__(self, settings: CallSettings, source: Source, sink: Sink) -> None:
        super().__init__(settings, source, sink)
        self._bytes = (0, 0)
        self._asked = time.monotonic()

    @property
    def packet_seconds(self) -> float:
        """Sound in a packet."""
        return self._frame / SAMPLE_RATE

    @property
    def codec_seconds(self) -> float:
        """How long the codec alone delays sound."""
        return self._encoder.algorithmic_delay / SAMPLE_RATE

    def others(self) -> list[dict[str, Any]]:
        """Who else is in the room, and whether what they send can be decoded here."""
        return [
            {"sender": sender, "name": member.name, "heard": member.model == self._model}
            for sender, member in sorted(self._members.items())
        ]

    def levels(self) -> dict[int, float]:
        """What is heard of each, dB under full scale."""
        quietest = 10.0 ** (-MAX_LEVEL / 10.0)
        return {
            sender: 10.0 * float(np.log10(max(voice.power, quietest)))
            for sender, voice in self._voices.items()
        }

    def figures(self) -> dict[str, float]:
        """Rates since this was asked last; delays of now; counts since the start."""
        now, counted, voices = time.monotonic(), self._figures, list(self._voices.values())
        sent, received = counted.bytes_sent, counted.bytes_received
        seconds = max(now - self._asked, LEVELS_SECONDS)
        kbit_s = 8e-3 / seconds
        sent_rate = kbit_s * (sent - self._bytes[0])
        received_rate = kbit_s * (received - self._bytes[1])
        self._bytes, self._asked = (sent, received), now
        played = counted.packets_played + sum(v.jitter.counts.played for v in voices)
        concealed = counted.concealed + sum(v.jitter.counts.concealed for v in voices)
        late = counted.late + sum(v.jitter.counts.late for v in voices)
        return {
            "sent-kbit-s": round(sent_rate, 2),
            "received-kbit-s": round(received_rate, 2),
            "buffer-ms": round(1e3 * max((v.delay for v in voices), default=0.0)),
            "jitter-ms": round(1e3 * max((v.jitter.target - MARGIN for v in voices), default=0.0)),
            "played": played,
            "concealed": concealed,
            "late": late,
        }


def run_member(pipe: socket.socket, settings: MemberSettings) -> None:
    """What a codec process does, from its start to its end."""
    import torch

    # Ctrl-C in a terminal reaches the whole group; the gateway closes the pipe in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Packets are small: more threads would only wait for each other.
    torch.set_num_threads(1)
    asyncio.run(_take_part(pipe, settings))


async def _take_part(pipe: socket.socket, settings: MemberSettings) -> None:
    reader, writer = await asyncio.open_connection(sock=pipe)

    def send(data: str | bytes) -> None:
        write_frame(writer, data)

    source, sink = BrowserSource(settings.rate), BrowserSink(send)
    call = CallSettings(
        url=settings.url,
        room=settings.room,
        name=settings.name,
        token=settings.token,
        bitrate=settings.bitrate,
        complexity=settings.complexity,
        low_delay=settings.low_delay,
        muted=settings.muted,
    )
    source.intake.muted = settings.muted
    try:
        member = BrowserMember(call, source, sink)
        helpers = [
            asyncio.create_task(_obey(reader, member, source.intake)),
            asyncio.create_task(_report(member, send)),
        ]
        try:
            await member.run()
        finally:
            for helper in helpers:
                helper.cancel()
    except RefusedError as error:
        send(leg.build("error", code=error.code, message="the room cannot be entered"))
    except CallError:
        send(leg.build("error", code="gateway", message="the call could not be held"))
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def _obey(reader: asyncio.StreamReader, member: BrowserMember, intake: Intake) -> None:
    """Take what the browser sends until the pipe is closed, then leave."""
    while (data := await read_frame(reader)) is not None:
        if isinstance(data, bytes):
            with contextlib.suppress(ProtocolError):  # the gateway has checked it
                sound = leg.parse_pcm(data)
                if sound is not None:
                    intake.push(sound, time.monotonic())
            continue
        found = json.loads(data)
        if found["type"] == "mute":
            member.muted = intake.muted = found["muted"]
    member.stop()


async def _report(member: BrowserMember, send: Callable[[str | bytes], None]) -> None:
    """Tell the browser how the call goes."""
    await member.connected.wait()
    welcome = {
        "version": leg.LEG_VERSION,
        "rate": leg.PLAYED_RATE,
        "packet-ms": round(1e3 * member.packet_seconds),
        "codec-ms": round(1e3 * member.codec_seconds),
    }
    send(leg.build("welcome", **welcome))
    told: list[dict[str, Any]] | None = None
    count = 0
    while True:
        others = member.others()
        if others != told:
            told = others
            send(leg.build("members", members=others))
        send(leg.build_levels(member.level, member.levels()))
        if count % FIGURES_EVERY == 0:
            send(leg.build("figures", values=member.figures()))
        count += 1
        await asyncio.sleep(LEVELS_SECONDS)
