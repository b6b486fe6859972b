import numpy as np
import pytest

from bench.clips import Clip
from bench.signals import SAMPLE_RATE


def make_babble(seconds: float, seed: int = 1) -> np.ndarray:
    """Something that PESQ and STOI take for speech: a buzz with formants, in syllables."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 120.0 + 20.0 * np.sin(2.0 * np.pi * 0.7 * time + seed)
    phase = 2.0 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    buzz = sum(np.cos(k * phase) / k for k in range(1, 40))
    syllables = np.clip(np.sin(2.0 * np.pi * 3.0 * time), 0.0, None)
    noise = 0.05 * generator.standard_normal(len(time))
    return (0.1 * syllables * (buzz + noise)).astype(np.float32)


@pytest.fixture(scope="session")
def babble() -> np.ndarray:
    return make_babble(2.5)


@pytest.fixture
def clip(babble) -> Clip:
    return Clip("babble.wav", babble, "synthetic", "ONE TWO")
