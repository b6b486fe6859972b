"""Files as sources and sinks, and what is said where there is no device."""

from __future__ import annotations

import asyncio
import sys
import time
import types

import numpy as np
import pytest
import soundfile
from streamcodec_call import media
from streamcodec_call.errors import CallError
from streamcodec_call.media import FileSink, FileSource, NoSource, open_sink, open_source


async def collect(source, seconds):
    return [block async for block in source.blocks(seconds)]


def test_a_recording_comes_in_real_time_and_whole(tmp_path):
    path = tmp_path / "in.wav"
    samples = np.linspace(-0.5, 0.5, 2205 * 3 + 100).astype(np.float32)
    soundfile.write(path, samples, 22_050, subtype="FLOAT")
    source = FileSource(path)
    began = time.monotonic()
    blocks = asyncio.run(collect(source, 0.1))
    assert 0.38 < time.monotonic() - began < 0.9
    assert [len(block) for block in blocks] == [2205] * 4
    sound = np.concatenate(blocks)[:, 0]
    np.testing.assert_array_equal(sound[: len(samples)], samples)
    assert not sound[len(samples) :].any()
    source.close()


def test_a_sink_writes_what_it_is_given(tmp_path):
    path = tmp_path / "out.wav"
    sink = FileSink(path)
    sink.write(np.full(160, 0.25, np.float32))
    sink.close()
    sound, rate = soundfile.read(path)
    assert rate == 16_000
    np.testing.assert_allclose(sound, 0.25, atol=1e-4)


def test_names_are_understood(tmp_path):
    assert isinstance(open_source("none"), NoSource)
    with pytest.raises(CallError, match="no such file"):
        open_source(str(tmp_path / "missing.wav"))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(CallError, match="cannot be read"):
        open_source(str(tmp_path / "text.wav"))
    with pytest.raises(CallError, match="cannot be written"):
        open_sink(str(tmp_path / "no" / "folder.wav"))


class _PortAudioError(Exception):
    pass


def _no_device(**_):
    raise _PortAudioError("no such device")


def test_a_device_that_cannot_be_opened_is_said_clearly(monkeypatch):
    module = types.ModuleType("sounddevice")
    module.PortAudioError = _PortAudioError
    module.InputStream = module.OutputStream = _no_device
    module.default = types.SimpleNamespace(device=(1, 1))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(CallError, match="no speaker can be opened"):
        open_sink("3")
    with pytest.raises(CallError, match="no microphone can be opened"):
        asyncio.run(collect(open_source("default"), 0.08))
    module.default.device = (-1, -1)
    with pytest.raises(CallError, match=r"this machine has no microphone.*--input"):
        asyncio.run(collect(open_source("default"), 0.08))


class _Unplugged:
    """A device that opens, and then gives and takes nothing any more."""

    def __init__(self, **_):
        pass

    def start(self):
        pass

    close = start

    def write(self, block):
        raise _PortAudioError("device unavailable")


def test_a_device_that_is_unplugged_is_said_clearly_and_ends(monkeypatch):
    module = types.ModuleType("sounddevice")
    module.PortAudioError = _PortAudioError
    module.InputStream = module.OutputStream = _Unplugged
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    monkeypatch.setattr(media, "DEAD_SECONDS", 0.05)
    with pytest.raises(CallError, match=r"microphone 'usb' gives no more sound.*unplugged"):
        asyncio.run(collect(open_source("usb"), 0.08))
    sink = open_sink("usb")

    def play():
        for _ in range(200):
            sink.write(np.zeros(80, np.float32))
            time.sleep(0.01)

    with pytest.raises(CallError, match=r"device unavailable.*unplugged"):
        play()
    sink.close()


def test_a_missing_package_is_said_clearly(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(CallError, match="sounddevice package"):
        open_source("default")
