"""One sender's way from frames to sound, and the mix of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from .jitter import SAMPLE_RATE, Decision, JitterBuffer, Play
from .protocol import AudioFrame
from .stretch import stretched

BLOCK = 80
"""Samples that are mixed at once: 5 ms."""

KNEE = 0.8
"""Level up to which the limiter leaves the sum alone."""

FADE_SAMPLES = 320
"""Length of the fade at the end of a talk spurt: 20 ms."""

FIRST_LEAD = 0.030
"""Seconds before its turn that a frame is decoded, until decoding has been timed."""

LEVEL_SHARE = 0.1
"""Weight of a block in the level of a voice, which so follows within about 50 ms."""

LEAD_MARGIN = 0.005
LEAD_SINK = 0.02
"""Share by which the lead follows faster decoding at each frame; slower it follows at once."""


class Decoder(Protocol):
    """What is needed of ``streamcodec.SpeechDecoder``."""

    @property
    def frame_size(self) -> int:
        """Samples in a packet."""

    def push(self, packet: bytes) -> np.ndarray:
        """Decode a packet."""

    def conceal(self, following: bytes | None = None) -> np.ndarray:
        """Sound for a lost packet, with the next one if that is here."""

    def flush(self) -> np.ndarray:
        """The tail."""

    def reset(self) -> None:
        """Begin anew."""


def soft_limit(mix: np.ndarray) -> np.ndarray:
    """Bend what exceeds ``KNEE`` so that the sum stays within full scale; shape is kept."""
    over = np.abs(mix) - KNEE
    bent = KNEE + (1.0 - KNEE) * np.tanh(np.maximum(over, 0.0) / (1.0 - KNEE))
    return np.where(over > 0, np.sign(mix) * bent, mix).astype(np.float32)


def mix(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Sum of blocks ``(BLOCK,)``, limited; silence of none."""
    total = np.zeros(BLOCK, np.float32)
    for block in blocks:
        total += block
    return soft_limit(total)


class Voice:
    """Jitter buffer, decoder and the decoded sound of one sender.

    The player calls :meth:`next_work` to ask whether something is to be decoded, runs it where
    it likes (a thread), hands the result to :meth:`finish`, and takes sound with :meth:`take`.

    Parameters
    ----------
    decoder : Decoder
        Of its own.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._size = decoder.frame_size
        self.jitter = JitterBuffer(self._size / SAMPLE_RATE)
        self._sound = np.zeros(0, np.float32)
        self._fresh = True
        self._opening = False
        self._lead = FIRST_LEAD
        self.busy = False
        """Whether work has been handed out that is not finished."""
        self.underruns = 0
        self.damaged = 0
        self.lengthened = self.shortened = 0.0
        """Seconds put in and left out so far to play in time."""
        self.power = 0.0
        """Mean square of what was taken of late."""

    @property
    def delay(self) -> float:
        """Seconds between arrival over the network's floor and being heard, as aimed at."""
        return self.jitter.target + self._lead

    @property
    def _ahead(self) -> int:
        """Samples left at which the next frame is decoded."""
        # A block is taken before the next look at what is left.
        return round(self._lead * SAMPLE_RATE) + BLOCK

    def push(self, frame: AudioFrame, now: float) -> None:
        """Take a frame that arrived at ``now``."""
        self.jitter.push(frame, now)

    def next_work(self, now: float) -> Callable[[], np.ndarray] | None:
        """What is to be decoded now, if anything."""
        if self.busy or len(self._sound) > self._ahead:
            return None
        decision = self.jitter.pull(now)
        if decision.play is Play.WAIT:
            return None
        self.busy = True
        return lambda: self._decode(decision)

    def _decode(self, decision: Decision) -> np.ndarray:
        decoder = self._decoder
        if decision.play is Play.SILENCE:
            if self._fresh:
                return np.zeros(0, np.float32)
            tail = decoder.flush().copy()
            fade = min(FADE_SAMPLES, len(tail))
            tail[len(tail) - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
            decoder.reset()
            self._fresh = True
            return tail
        self._opening = self._opening or self._fresh
        self._fresh = False
        if decision.play is Play.CONCEAL:
            return decoder.conceal(decision.following or None)
        try:
            return self._stretched(decoder.push(decision.packet), decision.stretch)
        except ValueError:  # FormatError and InputError: damaged on its way, or hostile
            self.damaged += 1
            return decoder.conceal()

    def _stretched(self, sound: np.ndarray, seconds: float) -> np.ndarray:
        changed = stretched(sound, round(seconds * SAMPLE_RATE)) if seconds else sound
        change = (len(changed) - len(sound)) / SAMPLE_RATE
        self.lengthened += max(0.0, change)
        self.shortened += max(0.0, -change)
        return changed

    def finish(self, sound: np.ndarray, seconds: float) -> None:
        """Take what the work gave; ``seconds`` is how long it took."""
        self.busy = False
        if not len(sound):
            return
        wanted = seconds + LEAD_MARGIN
        self._lead = max(wanted, self._lead + LEAD_SINK * (wanted - self._lead))
        self._lead = min(self._lead, self._size / SAMPLE_RATE)
        if not len(self._sound):
            # A spurt begins, or sound came too late: hold it back by what the first packet is
            # short of and by the time that later ones may take to decode, so that they do come
            # in time.
            held = max(0, self._ahead - round(seconds * SAMPLE_RATE))
            if self._opening:
                held += self._size - len(sound)
            elif not self._fresh:
                self.underruns += 1
            sound = np.concatenate([np.zeros(held, np.float32), sound])
        self._opening = False
        self._sound = np.concatenate([self._sound, sound])

    def take(self) -> np.ndarray:
        """The next ``BLOCK`` samples, silence where there are none."""
        block, self._sound = self._sound[:BLOCK], self._sound[BLOCK:]
        if len(block) < BLOCK:
            block = np.concatenate([block, np.zeros(BLOCK - len(block), np.float32)])
        self.power += LEVEL_SHARE * (float(np.dot(block, block)) / BLOCK - self.power)
        return block
