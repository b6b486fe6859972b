"""Signals that tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLIPS = Path(__file__).parents[1] / "examples" / "clips"


def real_speech(seconds: float) -> np.ndarray:
    """The first bundled recording, float32 at 16 kHz, cut to ``seconds``."""
    import soundfile

    path = sorted(CLIPS.glob("*.flac"))[0]
    sound, rate = soundfile.read(path, dtype="float32")
    if rate != 16_000 or sound.ndim != 1:
        raise ValueError(f"{path} should be 16 kHz mono")
    return sound[: int(seconds * rate)]
