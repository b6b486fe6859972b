"""From packets to the speaker: a voice for each member, and their mix.

Decoding has a thread of its own; decoders are made in another, since that takes as long as
several packets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import streamcodec

from .figures import CallFigures
from .jitter import CAPACITY, SAMPLE_RATE, JitterCounts
from .limits import MAX_STATISTICS
from .media import Sink
from .mixer import BLOCK, Lead, Voice, mix
from .protocol import AudioFrame, Join, Leave, Member, Message, Welcome
from .redundancy import FIGURE

MAX_VOICES = 64
"""Members that are heard at most: each has a decoder."""

MAX_PLAYER_LAG = 0.5
"""Seconds that the player may be behind its clock before it gives up catching up."""


class Playback:
    """What one member hears.

    Parameters
    ----------
    sink : Sink
    encoder : streamcodec.SpeechEncoder
        Its model decodes; members who use another cannot be heard.
    figures : CallFigures
    tell : callable
        Takes lines for the user.
    """

    def __init__(
        self,
        sink: Sink,
        encoder: streamcodec.SpeechEncoder,
        figures: CallFigures,
        tell: Callable[[str], None],
    ) -> None:
        self._sink = sink
        self._model = encoder.model
        self._figures = figures
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, "decode")
        self._group: asyncio.TaskGroup | None = None
        self._early: dict[int, list[tuple[AudioFrame, float]]] = {}
        self._told: dict[int, tuple[int, int]] = {}
        self.lead = Lead()
        """How long decoding takes, for all voices."""
        self.voices: dict[int, Voice] = {}
        """Of those who can be heard, by their numbers."""
        self.members: dict[int, Member] = {}
        """Everyone else in the room."""

    # -- what the relay says

    def receive(self, frame: AudioFrame) -> None:
        """Take a frame of sound."""
        now = time.monotonic()
        voice = self.voices.get(frame.sender)
        early = self._early.get(frame.sender)
        if voice is not None:
            voice.push(frame, now)
        elif early is not None and len(early) < CAPACITY:
            early.append((frame, now))
        else:
            return
        self._figures.bytes_received += len(frame.packet)

    def obey(self, message: Message) -> None:
        """Take word of who is there."""
        if isinstance(message, Welcome):
            for sender in set(self.members) - {member.sender for member in message.members}:
                self._leave(sender)
            for member in message.members:
                self._join(member)
        elif isinstance(message, Join):
            self._join(message.member)
        elif isinstance(message, Leave):
            self._leave(message.sender)

    def statistics(self) -> dict[str, float]:
        """Figures to tell the room: of those now in it, and of this member's encoder."""
        counts = [voice.jitter.counts for voice in self.voices.values()]
        values = {
            "received": float(sum(count.received for count in counts)),
            "concealed": float(sum(count.concealed for count in counts)),
            "late": float(sum(count.late for count in counts)),
            "iterations": self._figures.iterations_per_packet,
            "cut-short": float(self._figures.searches_cut),
            "deadline-misses": float(self._figures.deadline_misses),
        }
        for sender, voice in self.voices.items():
            share = self._loss(sender, voice.jitter.counts)
            if share is not None and len(values) < MAX_STATISTICS:
                values[f"{FIGURE}{sender}"] = round(share, 4)
        return values

    @property
    def loses(self) -> bool:
        """Whether frames are missing of which :meth:`statistics` has not told yet."""
        return any(
            voice.jitter.counts.missed > self._told.get(sender, (0, 0))[1]
            for sender, voice in self.voices.items()
        )

    def _loss(self, sender: int, counts: JitterCounts) -> float | None:
        """Share of a member's frames missed since this was asked last; None if none were sent."""
        passed, missed = self._told.get(sender, (0, 0))
        self._told[sender] = counts.passed, counts.missed
        new = counts.passed - passed
        return (counts.missed - missed) / new if new > 0 else None

    def _join(self, member: Member) -> None:
        if self.members.get(member.sender) == member or len(self.members) >= MAX_VOICES:
            return
        self._leave(member.sender)
        self.members[member.sender] = member
        if member.model != self._model.identity.hex():
            self._tell(f"{member.name} uses another model ({member.model}) and cannot be heard")
            return
        if self._group is None:
            raise RuntimeError("members can only be heard while run() runs")
        self._early[member.sender] = []
        self._group.create_task(self._open(member))

    async def _open(self, member: Member) -> None:
        """Make a decoder off the event loop, and catch up with what came meanwhile."""
        loop = asyncio.get_running_loop()
        decoder = await loop.run_in_executor(None, self._decoder, member)
        if self.members.get(member.sender) is not member:
            return
        voice = Voice(decoder, self.lead)
        for frame, arrived in self._early.pop(member.sender):
            voice.push(frame, arrived)
        self.voices[member.sender] = voice
        self._tell(f"{member.name} is here")

    def _decoder(self, member: Member) -> streamcodec.SpeechDecoder:
        header = streamcodec.StreamHeader(bytes.fromhex(member.model), member.steps, 1)
        return streamcodec.SpeechDecoder(header, model=self._model)

    def _leave(self, sender: int) -> None:
        member = self.members.pop(sender, None)
        voice = self.voices.pop(sender, None)
        self._early.pop(sender, None)
        self._told.pop(sender, None)
        if voice is not None:
            self._figures.add(voice)
        if member is not None:
            self._tell(f"{member.name} left")

    # -- sound

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Play until cancelled; decoding and new members get tasks of ``group``."""
        self._group = group
        block_seconds = BLOCK / SAMPLE_RATE
        start, count = time.monotonic(), 0
        while True:
            now = time.monotonic()
            for voice in self.voices.values():
                work = voice.next_work(now)
                if work is not None:
                    group.create_task(self._decode(voice, work, now))
            self._sink.write(mix([voice.take() for voice in self.voices.values()]))
            count += 1
            wait = start + count * block_seconds - time.monotonic()
            if wait < -MAX_PLAYER_LAG:
                self._figures.player_stalls += 1
                start, count = time.monotonic(), 0
            await asyncio.sleep(max(0.0, wait))

    async def _decode(self, voice: Voice, work: Callable[[], np.ndarray], began: float) -> None:
        sound = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        voice.finish(sound, time.monotonic() - began)

    def close(self) -> None:
        """Let the thread end, and count what voices have counted."""
        self._thread.shutdown(cancel_futures=True)
        for sender in list(self.members):
            self._leave(sender)
