"""What the tests of the speech path share: a test signal and torchaudio as a reference."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from streamcodec.speech.frontend import mel_filterbank

SAMPLE_RATE = 16_000


def _speech_like(seconds: float) -> NDArray[np.float32]:
    """Synthesize syllables: a gliding voice through three moving formants, hiss and pauses."""
    rng = np.random.default_rng(20_07)
    n = round(seconds * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    pitch = 130.0 + 40.0 * np.sin(2 * np.pi * 0.7 * t) + 15.0 * np.sin(2 * np.pi * 2.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    formants = (
        (550.0 + 250.0 * np.sin(2 * np.pi * 1.1 * t), 90.0, 1.0),
        (1500.0 + 500.0 * np.sin(2 * np.pi * 0.9 * t + 1.0), 140.0, 0.5),
        (2700.0 + 300.0 * np.sin(2 * np.pi * 1.3 * t + 2.0), 220.0, 0.25),
    )
    voiced = np.zeros(n)
    for harmonic in range(1, 45):
        frequency = harmonic * pitch
        level = sum(
            gain / (1.0 + ((frequency - centre) / width) ** 2) for centre, width, gain in formants
        )
        voiced += np.where(frequency < 7_600.0, level, 0.0) * np.sin(harmonic * phase)
    noise = rng.standard_normal(n)
    hiss = np.concatenate([[0.0], np.diff(noise)])
    syllable = np.sin(2 * np.pi * 1.7 * t)
    mixed = 0.12 * voiced * np.clip(syllable, 0.0, 1.0) + 0.03 * hiss * np.clip(
        -syllable - 0.4, 0.0, 1.0
    )
    return (mixed + 1e-4 * noise).astype(np.float32)


@pytest.fixture(scope="session")
def speech_like() -> NDArray[np.float32]:
    """Four seconds of voiced and unvoiced sound, shape (64000,), float32 within ±1."""
    return _speech_like(4.0)


@pytest.fixture(scope="session")
def filterbank() -> NDArray[np.float32]:
    """The codec's mel filterbank, shape (80, 321), float32."""
    return mel_filterbank()


@pytest.fixture(scope="session")
def torchaudio_transforms() -> types.ModuleType:
    """``torchaudio.transforms``, with torchaudio's compiled extension only where it loads.

    The transforms are plain torch code. But torchaudio's import loads an extension that is built
    for one build of torch (the one on PyPI is linked against CUDA) and fails beside another,
    such as a CPU build. torchaudio goes without the extension when its file does not exist, so
    where loading fails the file is hidden from the search during the import, and nothing else
    changes.
    """
    try:
        import torchaudio.transforms as transforms
    except OSError:
        _forget_modules("torchaudio")
        with mock.patch.object(Path, "glob", _glob_without(_extension_folder())):
            import torchaudio.transforms as transforms
    return transforms


def _extension_folder() -> Path:
    """Return the folder of torchaudio's compiled libraries, without importing it."""
    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchaudio is needed as a reference; install the test extra")
    return Path(spec.origin).parent / "lib"


def _glob_without(folder: Path):  # type: ignore[no-untyped-def]
    """Return a ``Path.glob`` to which ``folder`` looks empty."""
    original = Path.glob

    def glob(path: Path, pattern: str, **options: bool):  # type: ignore[no-untyped-def]
        return iter(()) if path == folder else original(path, pattern, **options)

    return glob


def _forget_modules(package: str) -> None:
    """Remove what a failed import left behind."""
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        del sys.modules[name]
