"""One sender's way from frames to sound, and the mix of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from .jitter import SAMPLE_RATE, Decision, JitterBuffer, Play
from .protocol import AudioFrame
from .stretch import PAST, last_period, stretched

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

BRIDGE_SAMPLES = 1280
"""For which a voice is carried on while the next sound is late: 80 ms, as long as the jitter
buffer waits for a late frame and that takes to decode."""

BRIDGE_FADE = 0.5
"""Share of that after which it begins to fade."""

RETURN_SAMPLES = 80
"""Over which sound that is there again comes back to its level: 5 ms."""


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


class Lead:
    """How long before its turn a frame must be decoded: as long as decoding has taken of late.

    All voices share one, since it is the machine that is slow.
    """

    def __init__(self, seconds: float = FIRST_LEAD) -> None:
        self.seconds = seconds

    def took(self, seconds: float) -> None:
        """Decoding a frame took so long."""
        wanted = seconds + LEAD_MARGIN
        self.seconds = max(wanted, self.seconds + LEAD_SINK * (wanted - self.seconds))


class Voice:
    """Jitter buffer, decoder and the decoded sound of one sender.

    The player calls :meth:`next_work` to ask whether something is to be decoded, runs it where
    it likes (a thread), hands the result to :meth:`finish`, and takes sound with :meth:`take`.

    Parameters
    ----------
    decoder : Decoder
        Of its own.
    lead : Lead, optional
        That of all voices.
    """

    def __init__(self, decoder: Decoder, lead: Lead | None = None) -> None:
        self._decoder = decoder
        self._size = decoder.frame_size
        self.jitter = JitterBuffer(self._size / SAMPLE_RATE)
        self._sound = np.zeros(0, np.float32)
        self._past = np.zeros(PAST, np.float32)
        self._period = np.zeros(0, np.float32)
        self._bridged = 0
        self._speaking = False
        self._fresh = True
        self._opening = False
        self._decoding = lead or Lead()
        self.busy = False
        """Whether work has been handed out that is not finished."""
        self.underruns = 0
        self.damaged = 0
        self.lengthened = self.shortened = 0.0
        """Seconds put in and left out so far to play in time."""
        self.bridged = 0.0
        """Seconds for which the voice was carried on because the next sound was late."""
        self.power = 0.0
        """Mean square of what was taken of late."""

    @property
    def delay(self) -> float:
        """Seconds between arrival over the network's floor and being heard, as aimed at."""
        return self.jitter.target + self._lead

    @property
    def _lead(self) -> float:
        return min(self._decoding.seconds, self._size / SAMPLE_RATE)

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
        self._decoding.took(seconds)
        if not len(self._sound) and not (self._speaking and self._bridged < BRIDGE_SAMPLES):
            # A spurt begins, or sound came too late: hold it back by what the first packet is
            # short of and by the time that later ones may take to decode, so that they do come
            # in time.
            held = max(0, self._ahead - round(seconds * SAMPLE_RATE))
            if self._opening:
                held += self._size - len(sound)
            elif not self._fresh:
                self.underruns += 1
            sound = np.concatenate([np.zeros(held, np.float32), sound])
        elif self._bridged:
            sound = self._returned(sound)
        self._opening = False
        self._speaking = not self._fresh
        self._bridged = 0
        self._sound = np.concatenate([self._sound, sound])

    def take(self) -> np.ndarray:
        """The next ``BLOCK`` samples, silence where there are none."""
        while self._speaking and len(self._sound) < BLOCK and self._bridged < BRIDGE_SAMPLES:
            self._bridge()
        block, self._sound = self._sound[:BLOCK], self._sound[BLOCK:]
        if len(block) < BLOCK:
            block = np.concatenate([block, np.zeros(BLOCK - len(block), np.float32)])
        self._past = np.concatenate([self._past[BLOCK:], block])
        self.power += LEVEL_SHARE * (float(np.dot(block, block)) / BLOCK - self.power)
        return block

    def _bridge(self) -> None:
        """Carry the voice on by a period."""
        if not self._bridged:
            self._period = last_period(np.concatenate([self._past, self._sound])[-PAST:])
        period = self._period
        gains = _bridge_gain(self._bridged + np.arange(len(period), dtype=np.float32))
        self._sound = np.concatenate([self._sound, period * gains])
        self._bridged += len(period)
        self.bridged += len(period) / SAMPLE_RATE

    def _returned(self, sound: np.ndarray) -> np.ndarray:
        """Sound behind a bridge, brought back to its level from that of the bridge's end."""
        sound = sound.copy()
        head = sound[:RETURN_SAMPLES]
        gain = float(_bridge_gain(np.float32(self._bridged)))
        head *= np.linspace(gain, 1.0, len(head), dtype=np.float32)
        return sound


def _bridge_gain(samples: np.ndarray | np.float32) -> np.ndarray:
    """Gain so many samples into a bridge: 1, and then a fade to nothing at its end."""
    share = samples / np.float32(BRIDGE_SAMPLES)
    return np.clip((1.0 - share) / (1.0 - BRIDGE_FADE), 0.0, 1.0).astype(np.float32)
