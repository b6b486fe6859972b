"""What the tests of the command share: a recording and its stream."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from streamcodec.files import encode_file
from tests.signals import real_speech


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of real speech as a wav file."""
    path = tmp_path_factory.mktemp("cli") / "speech.wav"
    soundfile.write(path, real_speech(2.0), 16_000)
    return path


@pytest.fixture(scope="session")
def stream(recording: Path) -> Path:
    """The same as a stream file."""
    path = recording.with_suffix(".sc")
    encode_file(recording, path, complexity=0)
    return path
