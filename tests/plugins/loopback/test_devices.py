"""What is said about devices that cannot be used, by a PortAudio that answers as the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types

import pytest
from streamcodec_loopback import devices, ring
from streamcodec_loopback.errors import DeviceError


class PortAudioError(Exception):
    """As sounddevice's: a message and PortAudio's code."""


def busy():
    return PortAudioError(
        "Error opening _StreamBase: Device unavailable [PaErrorCode -9985]", -9985
    )


class FakePortAudio(types.ModuleType):
    """One stereo card; ``rates`` are those it does; ``trouble`` is raised by opening it."""

    PortAudioError = PortAudioError

    def __init__(self, rates=(48_000,), channels=(1, 2), trouble=None):
        super().__init__("sounddevice")
        self.rates, self.allowed, self.trouble = rates, channels, trouble
        self.opened = []
        self._ffi = types.SimpleNamespace(cast=lambda kind, address: address)
        self.default = types.SimpleNamespace(device=[0, 0])
        fake = self

        class Stream:
            active, latency = True, 0.02

            def __init__(self, **options):
                if fake.trouble is not None:
                    raise fake.trouble
                fake.opened.append(options)

            def start(self):
                self.started = True

            def abort(self):
                raise PortAudioError("Stream is gone", -9988)

            close = abort

        self._StreamBase = Stream

    def query_hostapis(self):
        return [{"name": "Fake"}]

    def query_devices(self, device=None, kind=None):
        card = {
            "name": "card", "index": 0, "hostapi": 0, "max_input_channels": 2,
            "max_output_channels": 2, "default_samplerate": 48_000.0,
        }  # fmt: skip
        if kind is None:
            return [card]
        if isinstance(device, int) and device > 0:
            raise PortAudioError(f"Error querying device {device}")
        if isinstance(device, str) and device not in "card":
            raise ValueError(f"No {kind} device matching {device!r}")
        return card

    def _check(self, channels, samplerate, **_):
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]", -9997)
        if channels not in self.allowed:
            raise PortAudioError("Invalid number of channels [PaErrorCode -9998]", -9998)

    check_input_settings = check_output_settings = _check


def opened(fake, kind="input", wanted=None, rate=None):
    return devices.DeviceStream(fake, kind, wanted, rate, 0.04, 1.0)


@pytest.mark.parametrize(
    ("rates", "channels", "wanted", "found"),
    [
        ((16_000, 48_000), (1, 2), None, (16_000, 1)),
        ((48_000,), (1, 2), None, (48_000, 1)),
        ((48_000,), (2,), None, (48_000, 2)),
        ((16_000, 48_000), (1, 2), 48_000, (48_000, 1)),
    ],
)
def test_the_best_rate_that_a_card_does_is_taken(rates, channels, wanted, found):
    fake = FakePortAudio(rates, channels)
    stream = opened(fake, rate=wanted)
    (options,) = fake.opened
    assert (stream.rate, options["channels"]) == (options["samplerate"], options["channels"])
    assert (stream.rate, options["channels"]) == found
    assert options["blocksize"] == stream.rate // 100
    assert options["callback"] == ring.capture.address
    assert options["userdata"] == stream.ring.address


@pytest.mark.parametrize(
    ("fake", "options", "message"),
    [
        (FakePortAudio(), {"rate": 44_100}, "does not do 44100 Hz; its own rate is 48000 Hz"),
        (FakePortAudio(trouble=busy()), {}, r"microphone 'card' is busy .*Device unavailable\)"),
        (FakePortAudio(trouble=busy()), {"kind": "output"}, "speaker 'card' is busy"),
        (FakePortAudio(channels=(6,)), {}, r"cannot be opened \(Invalid number of channels\)"),
        (FakePortAudio(), {"wanted": "7"}, "there is no input device 7"),
        (FakePortAudio(), {"wanted": "horn", "kind": "output"}, "no output device is called"),
    ],
)
def test_what_cannot_be_opened_is_said(fake, options, message):
    with pytest.raises(DeviceError, match=message) as raised:
        opened(fake, **options)
    assert "\n" not in str(raised.value)


def test_no_device_at_all_is_said():
    fake = FakePortAudio()

    def nothing(device=None, kind=None):
        raise PortAudioError("Error querying device -1")

    fake.query_devices = nothing
    with pytest.raises(DeviceError, match="this machine has no microphone"):
        opened(fake)
    with pytest.raises(DeviceError, match="this machine has no speaker"):
        opened(fake, "output")


def test_a_name_that_means_several_is_said():
    fake = FakePortAudio()

    def several(device=None, kind=None):
        raise ValueError("Multiple input devices found for 'card':\n[0] card, ALSA\n[1] card, OSS")

    fake.query_devices = several
    with pytest.raises(DeviceError, match=r"could be any of: \[0\] card, ALSA; \[1\] card, OSS"):
        opened(fake, wanted="card")


def test_a_device_without_that_direction_is_said():
    fake = FakePortAudio()
    real = fake.query_devices
    fake.query_devices = lambda device=None, kind=None: {
        **real(device, "input"),
        "max_output_channels": 0,
    }
    with pytest.raises(DeviceError, match=r"device 0 \(card\) has no output"):
        opened(fake, "output", "0")


def test_a_device_that_falls_silent_counts_as_gone(monkeypatch):
    stream = opened(FakePortAudio())
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream.start()
    stream.check()
    now[0] += devices.STALL_SECONDS + 0.1
    with pytest.raises(DeviceError, match=r"microphone 'card' is gone .*unplugged"):
        stream.check()
    stream.ring._memory[ring.CALLBACKS] += 1
    stream.check()
    stream._stream.active = False
    with pytest.raises(DeviceError, match="it has stopped"):
        stream.check()
    stream.close()  # which fails, and does not matter any more


def test_devices_are_listed():
    (card,) = devices.list_devices(FakePortAudio())
    assert (card.number, card.name, card.system, card.inputs) == (0, "card", "Fake", 2)
    assert card.default == ("input", "output")


def test_a_missing_package_and_a_missing_library_are_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DeviceError, match=r"pip install 'streamcodec\[live\]'"):
        devices.import_sounddevice()
    monkeypatch.delitem(sys.modules, "sounddevice")
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match=r"PortAudio library not found.*libportaudio2"):
        devices.import_sounddevice()


def test_drivers_are_silenced_and_we_are_not():
    script = (
        "import os, sys\n"
        "from streamcodec_loopback.devices import quiet_drivers\n"
        "with quiet_drivers():\n"
        "    os.write(2, b'noise of a driver\\n')\n"
        "    print('ours', file=sys.stderr)\n"
        "os.write(2, b'afterwards\\n')\n"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == "ours\nafterwards\n"
