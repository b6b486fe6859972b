"""A native member of a call: captures, encodes, sends; receives, decodes, mixes, plays.

The codec runs in two threads, one each way, so that the event loop is always free to read the
socket and to feed the player.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import streamcodec

from .call_settings import CallSettings
from .capture import Capture
from .figures import CallFigures
from .jitter import SAMPLE_RATE
from .limits import STEP_SECONDS
from .link import Link
from .media import Sink, Source
from .playback import Playback

LINGER_SECONDS = 1.0
"""After the end of a recording, so that its last packets are heard."""

WARM_UP_PACKETS = 3


class CallClient:
    """One member of a call.

    Parameters
    ----------
    settings : CallSettings
    source : Source
    sink : Sink
    tell : callable
        Takes lines for the user.
    """

    def __init__(
        self,
        settings: CallSettings,
        source: Source,
        sink: Sink,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._sink = sink
        packet_seconds = STEP_SECONDS * (1 if settings.low_delay else 2)
        self._encoder = streamcodec.SpeechEncoder(
            settings.bitrate,
            complexity=settings.complexity,
            low_delay=settings.low_delay,
            refresh=1,
            sample_rate=source.sample_rate,
            channels=source.channels,
            deadline=settings.deadline_share * packet_seconds,
        )
        self._frame = self._encoder.frame_size
        self._model = self._encoder.header.identity.hex()
        self._figures = CallFigures()
        self._playback = Playback(sink, self._encoder, self._figures, tell)
        self._voices = self._playback.voices
        self._members = self._playback.members
        self._link = Link(
            settings, self._model, self._encoder.header.steps_per_packet, self._playback,
            self._figures, tell,
        )  # fmt: skip
        self._capture = Capture(source, self._encoder, self._link.send, self._figures)
        self._capture.muted = settings.muted
        self._stop = asyncio.Event()

    @property
    def connected(self) -> asyncio.Event:
        """Set while in the room."""
        return self._link.connected

    @property
    def muted(self) -> bool:
        """Whether nothing is sent; may be changed at any time."""
        return self._capture.muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._capture.muted = muted

    @property
    def level(self) -> float:
        """Of what was captured last, dB under full scale."""
        return self._capture.level

    async def run(self) -> dict[str, Any]:
        """Take part until the end; gives the figures of the call.

        Raises
        ------
        CallError
            The relay cannot be reached or refuses.
        """
        began, worked = time.monotonic(), time.process_time()
        try:
            await asyncio.to_thread(self._warm_up)
            async with asyncio.TaskGroup() as group:
                for part in (
                    self._playback.run(group),
                    self._link.run(),
                    self._link.keep_alive(),
                    self._speak(),
                    self._end(),
                ):
                    group.create_task(part)
        except* _Ended:
            pass
        except* Exception as failures:
            raise failures.exceptions[0] from None
        finally:
            self._capture.close()
            self._playback.close()
        return {
            "seconds": time.monotonic() - began,
            "processor_seconds": time.process_time() - worked,
            "model": self._model,
            "input_started": self._source.started,
            "output_started": self._sink.started,
            **self._figures.report(self._frame / SAMPLE_RATE),
        }

    def stop(self) -> None:
        """End the call in order."""
        self._stop.set()

    def _warm_up(self) -> None:
        """Run both ways once: the first packet compiles and allocates, which takes long."""
        encoder = self._encoder
        rng = np.random.default_rng(0)
        wanted = round(self._frame / SAMPLE_RATE * self._source.sample_rate)
        sound = rng.uniform(-0.1, 0.1, (wanted, self._source.channels)).astype(np.float32)
        decoder = streamcodec.SpeechDecoder(encoder.header, model=encoder.model)
        seconds = 0.0
        for _ in range(WARM_UP_PACKETS):
            for packet in encoder.push(sound):
                began = time.monotonic()
                decoder.push(packet)
                seconds = time.monotonic() - began
        # The last one tells how fast this machine decodes; the first ones also compiled.
        self._playback.lead.took(min(seconds, self._frame / SAMPLE_RATE))
        encoder.reset()

    async def _speak(self) -> None:
        # Without this a recording would begin before anyone can hear it.
        await self.connected.wait()
        await self._capture.run()
        if self._settings.seconds is None and self._source.ends:
            await asyncio.sleep(LINGER_SECONDS)
            self.stop()

    async def _end(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._settings.seconds)
        await self._link.leave()
        raise _Ended


class _Ended(Exception):  # noqa: N818 -- ends the task group, is no error
    """The call is over as it should be."""
