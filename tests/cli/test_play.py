"""``streamcodec play``, with a sound card that only takes notes."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from streamcodec.cli.main import main


class PortAudioError(Exception):
    pass


@pytest.fixture
def sound_card(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for sounddevice: ``opened`` has the settings, ``heard`` the blocks."""
    module = types.ModuleType("sounddevice")
    module.PortAudioError = PortAudioError
    module.opened, module.heard = {}, []

    class OutputStream:
        def __init__(self, **settings: object) -> None:
            module.opened.update(settings)

        def __enter__(self) -> OutputStream:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, block: np.ndarray) -> None:
            module.heard.append(block.copy())

    module.OutputStream = OutputStream
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_everything_is_played(stream: Path, sound_card: types.ModuleType) -> None:
    assert main(["play", str(stream)]) == 0
    assert sound_card.opened == {"samplerate": 16_000, "channels": 1, "dtype": "float32"}
    sound = np.concatenate(sound_card.heard)
    assert sound.shape == (32_000, 1)
    assert sound.dtype == np.float32
    # It starts while the rest is still to be decoded.
    assert len(sound_card.heard) > 20


def test_without_a_device(
    stream: Path, sound_card: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_device(**_: object) -> None:
        raise PortAudioError("Error querying device -1")

    sound_card.OutputStream = no_device
    assert main(["play", str(stream)]) == 1
    assert "no sound device to play on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError("PortAudio library not found"), "apt-get install libportaudio2"),
        (ImportError("No module named 'sounddevice'"), "pip install 'streamcodec[live]'"),
    ],
)
def test_without_portaudio_or_package(
    stream: Path,
    error: Exception,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refusal:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise error

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusal(), *sys.meta_path])
    assert main(["play", str(stream)]) == 1
    errors = capsys.readouterr().err
    assert advice in errors
    assert errors.count("\n") == 1
