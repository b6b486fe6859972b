"""From the microphone to packets: silence gate and encoder, which runs in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

import streamcodec

from .figures import CallFigures
from .jitter import SAMPLE_RATE
from .media import Source
from .silence import SilenceGate, level_db


class Send(Protocol):
    """Where packets go."""

    def __call__(self, timestamp: int, packet: bytes = b"", level: int | None = None) -> None:
        """Send a packet, or word of silence."""


class Capture:
    """What one member says.

    Parameters
    ----------
    source : Source
    encoder : streamcodec.SpeechEncoder
        For the source's sampling rate and channels, with a deadline.
    send : callable
    figures : CallFigures
    """

    def __init__(
        self,
        source: Source,
        encoder: streamcodec.SpeechEncoder,
        send: Send,
        figures: CallFigures,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._send = send
        self._figures = figures
        self._frame = encoder.frame_size
        self._thread = ThreadPoolExecutor(1, "encode")
        self.muted = False
        self.level = level_db(np.zeros(0))
        """Of the last block, dB under full scale."""

    async def run(self) -> None:
        """Take what the source gives to its end."""
        gate = SilenceGate()
        seconds = self._frame / SAMPLE_RATE
        position = spurt = 0
        fresh = True
        async for block in self._source.blocks(seconds):
            self.level = level_db(block)
            send = gate.push(block, seconds, self.muted)
            position += self._frame
            if send:
                if fresh:
                    spurt, fresh = position - self._frame, False
                spurt = await self._encode(block, spurt)
            elif not fresh:
                self._encoder.reset()
                fresh = True
            if send is None:
                self._send(position, level=round(-self.level))
            self._figures.captured_seconds += seconds

    async def _encode(self, block: np.ndarray, position: int) -> int:
        """Encode and send; gives the timestamp of the next packet."""
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        packets = await loop.run_in_executor(self._thread, self._encoder.push, block)
        seconds = time.monotonic() - began
        for packet in packets:
            self._send(position, bytes(packet))
            position += self._frame
        if packets:
            self._figures.encoded(
                seconds, self._frame / SAMPLE_RATE, self._encoder.iterations,
                self._encoder.out_of_time,
            )  # fmt: skip
        return position

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(cancel_futures=True)
