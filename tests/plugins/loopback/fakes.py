"""A codec that only delays, and a speaker without a card, for tests of what is around them."""

from __future__ import annotations

import numpy as np
from streamcodec_loopback.codec import Coded

RATE, FRAME, OVERLAP = 16_000, 1280, 480


class DelayCodec:
    """Gives back what it takes, as late as the codec does, and louder so that it can be told."""

    frame_size, sample_rate, decode_estimate = FRAME, RATE, 0.01
    GAIN = 0.5

    def __init__(self):
        self.allowed = []
        self.reset()

    def reset(self):
        self._held = np.zeros(0, np.float32)
        self.concealed = 0

    def push(self, frame, allowed):
        self.allowed.append(allowed)
        self._held = np.concatenate([self._held, self.GAIN * frame])
        ready = len(self._held) - OVERLAP
        sound, self._held = self._held[:ready], self._held[ready:]
        return Coded(sound, 160, 176, False, 0.02, 0.01, False)

    def conceal(self):
        self.concealed += 1
        return np.full(FRAME, 0.125, np.float32)


def noise(seconds, rate=RATE, seed=0):
    """Uniform noise, low-passed so that resampling keeps it, float32 (n,)."""
    rng = np.random.default_rng(seed)
    sound = np.convolve(rng.uniform(-1, 1, round(seconds * rate)), np.ones(16) / 16, "same")
    return sound.astype(np.float32)
