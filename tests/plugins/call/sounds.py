"""Sound that tests of calls say and hear."""

from __future__ import annotations

import time

import numpy as np
import soundfile

from tests.signals import real_speech

RATE = 16_000
ENVELOPE = 160


class Recorder:
    """A sink that keeps what is played."""

    def __init__(self):
        self.blocks = []
        self.started = None

    def write(self, block):
        if self.started is None:
            self.started = time.monotonic()
        self.blocks.append(block)

    def close(self):
        pass

    @property
    def sound(self):
        return np.concatenate(self.blocks)


def speech_file(folder, seconds):
    """Path of a real recording cut to ``seconds``."""
    path = folder / "speech.wav"
    soundfile.write(path, real_speech(seconds), RATE)
    return path


def envelope(sound):
    """Level in dB every 10 ms, shape (n,)."""
    frames = sound[: len(sound) // ENVELOPE * ENVELOPE].reshape(-1, ENVELOPE)
    return 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-6)


def best_match(original, heard):
    """Delay in seconds at which the envelopes correlate best, and how well."""
    a, b = envelope(original), envelope(heard)
    scores = [np.corrcoef(a, b[lag : lag + len(a)])[0, 1] for lag in range(len(b) - len(a) + 1)]
    best = int(np.nanargmax(scores))
    return best * ENVELOPE / RATE, scores[best]
