"""Sound devices through PortAudio: which there are, which is meant, and the two streams."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from . import ring
from .errors import DeviceError

CODEC_RATE = 16_000
"""Preferred: sound then needs no second change of rate."""

BLOCK_SECONDS = 0.010
"""Of sound in a callback."""

STALL_SECONDS = 3.0
"""Without a callback before a device counts as gone."""

MAX_CHANNELS = 2
"""Tried where a device does not do mono: sound cards that take no other number are stereo."""

# PaErrorCode of portaudio.h.
INVALID_CHANNEL_COUNT = -9998
INVALID_SAMPLE_RATE = -9997
INVALID_DEVICE = -9996
DEVICE_UNAVAILABLE = -9985

KINDS = {"input": "microphone", "output": "speaker"}


def import_sounddevice() -> Any:
    """The sounddevice module.

    Raises
    ------
    DeviceError
        It or the PortAudio library is missing.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(
            "live sound needs the package sounddevice, which is not installed; install it with: "
            "pip install 'streamcodec[live]'"
        ) from error
    except OSError as error:
        raise DeviceError(
            f"live sound needs the PortAudio library ({error}); on Debian and Ubuntu install it "
            "with: apt-get install libportaudio2"
        ) from error
    return sounddevice


@contextmanager
def quiet_drivers() -> Iterator[None]:
    """Keep what sound libraries print on standard error away from it; ours still gets there.

    ALSA and PortAudio report to file descriptor 2 by themselves, from any thread and with many
    lines where a device is missing; all of it also comes as an error code, which is told.
    """
    ours = sys.stderr
    try:
        descriptor = ours.fileno()
    except (OSError, ValueError, AttributeError):
        descriptor = -1
    ours_is_native = descriptor == 2
    with suppress(OSError, ValueError):
        ours.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    replacement = None
    try:
        os.dup2(nowhere, 2)
        if ours_is_native:
            replacement = os.fdopen(os.dup(kept), "w", buffering=1, encoding=ours.encoding)
            sys.stderr = replacement
        yield
    finally:
        if replacement is not None:
            sys.stderr = ours
            with suppress(OSError):
                replacement.close()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@dataclass(frozen=True)
class Device:
    """A sound device as PortAudio lists it.

    Attributes
    ----------
    number : int
    name, system : str
        Its name and that of the host API.
    inputs, outputs : int
        Most channels.
    sample_rate : float
        Default rate, Hz.
    default : tuple of str
        ``"input"`` and ``"output"`` where it is the default for that.
    """

    number: int
    name: str
    system: str
    inputs: int
    outputs: int
    sample_rate: float
    default: tuple[str, ...]


def list_devices(sounddevice: Any) -> list[Device]:
    """Every device, in PortAudio's order.

    Raises
    ------
    DeviceError
        PortAudio cannot say.
    """
    try:
        systems = [api["name"] for api in sounddevice.query_hostapis()]
        defaults = dict(zip(("input", "output"), sounddevice.default.device, strict=True))
        return [
            Device(
                number,
                info["name"],
                systems[info["hostapi"]],
                info["max_input_channels"],
                info["max_output_channels"],
                info["default_samplerate"],
                tuple(kind for kind in KINDS if defaults[kind] == number),
            )
            for number, info in enumerate(sounddevice.query_devices())
        ]
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"PortAudio cannot list the sound devices: {_reason(error)}") from error


def choose_device(sounddevice: Any, kind: str, wanted: str | None) -> tuple[int, dict[str, Any]]:
    """Number and description of the device meant by ``wanted``.

    Parameters
    ----------
    kind : {"input", "output"}
    wanted : str or None
        A number, part of a name, or None for the default.

    Raises
    ------
    DeviceError
        There is none, or more than one.
    """
    what = KINDS[kind]
    number = int(wanted) if wanted is not None and wanted.isdecimal() else wanted
    try:
        info = sounddevice.query_devices(number, kind)
    except sounddevice.PortAudioError as error:
        if wanted is None:
            raise DeviceError(
                f"this machine has no {what} (PortAudio finds no default {kind} device); connect "
                f"one, or choose from 'streamcodec loopback --list-devices' with --{kind}"
            ) from error
        raise DeviceError(
            f"there is no {kind} device {wanted}; choose from 'streamcodec loopback --list-devices'"
        ) from error
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if len(lines) > 1:
            raise DeviceError(
                f"{wanted!r} could be any of: {'; '.join(lines[1:])}; name one by its number"
            ) from error
        raise DeviceError(
            f"no {kind} device is called {wanted!r}; choose from 'streamcodec loopback "
            "--list-devices'"
        ) from error
    if info[f"max_{kind}_channels"] < 1:
        raise DeviceError(
            f"device {info['index']} ({info['name']}) has no {kind}; choose another {what} from "
            "'streamcodec loopback --list-devices'"
        )
    return int(info["index"]), info


class DeviceStream:
    """One direction: an open device whose callback fills or empties a ring.

    Parameters
    ----------
    sounddevice : module
    kind : {"input", "output"}
    wanted : str or None
        As for :func:`choose_device`.
    rate : int or None
        Hz; None: the codec's where the device does that, else the device's own.
    latency : float
        Seconds to ask of the device.
    ring_seconds : float
        That the ring holds.

    Raises
    ------
    DeviceError
        It cannot be opened.
    """

    def __init__(
        self,
        sounddevice: Any,
        kind: str,
        wanted: str | None,
        rate: int | None,
        latency: float,
        ring_seconds: float,
    ) -> None:
        self._sounddevice, self.kind = sounddevice, kind
        number, info = choose_device(sounddevice, kind, wanted)
        self.name: str = info["name"]
        check = getattr(sounddevice, f"check_{kind}_settings")
        own = round(info["default_samplerate"])
        error: Exception | None = None
        for self.rate, channels in [
            (r, c)
            for r in ([rate] if rate else dict.fromkeys((CODEC_RATE, own)))
            for c in range(1, min(MAX_CHANNELS, info[f"max_{kind}_channels"]) + 1)
        ]:
            try:
                check(device=number, channels=channels, dtype="float32", samplerate=self.rate)
            except sounddevice.PortAudioError as refused:
                error = refused
                continue
            error = None
            break
        if error is not None:
            raise self._refused(error, own) from error
        self.ring = ring.SampleRing(self.rate, ring_seconds, channels=channels)
        callback = ring.capture if kind == "input" else ring.play
        foreign = sounddevice._ffi
        try:
            # The base class takes a C function as it is; its subclasses wrap a Python function.
            self._stream = sounddevice._StreamBase(
                kind=kind,
                device=number,
                channels=channels,
                dtype="float32",
                samplerate=self.rate,
                blocksize=round(BLOCK_SECONDS * self.rate),
                latency=latency,
                callback=foreign.cast("void *", callback.address),
                userdata=foreign.cast("void *", self.ring.address),
                clip_off=False,
            )
        except sounddevice.PortAudioError as refused:
            raise self._refused(refused, own) from refused
        self.ring.set_latency(self._stream.latency)
        self._calls, self._since = 0, 0.0

    @property
    def latency(self) -> float:
        """Seconds that PortAudio says the device adds."""
        return float(self._stream.latency)

    def start(self) -> None:
        """Let sound flow.

        Raises
        ------
        DeviceError
            The device does not start.
        """
        try:
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise self._refused(error, self.rate) from error
        self._since = time.monotonic()

    def check(self) -> None:
        """Look whether the device still exchanges blocks.

        Raises
        ------
        DeviceError
            It does not.
        """
        now, calls = time.monotonic(), self.ring.counts.callbacks
        if not self._stream.active:
            reason = "it has stopped"
        elif calls == self._calls and now - self._since > STALL_SECONDS:
            reason = f"no sound for {STALL_SECONDS:.0f} s"
        else:
            if calls != self._calls:
                self._calls, self._since = calls, now
            return
        raise DeviceError(
            f"the {KINDS[self.kind]} {self.name!r} is gone ({reason}); was it unplugged?"
        )

    def close(self) -> None:
        """Let go of the device; one that is gone already is no error any more."""
        with suppress(self._sounddevice.PortAudioError):
            self._stream.abort()
        with suppress(self._sounddevice.PortAudioError):
            self._stream.close()

    def _refused(self, error: Exception, own: int) -> DeviceError:
        code = error.args[1] if len(error.args) > 1 else None
        what = f"{KINDS[self.kind]} {self.name!r}"
        if code == INVALID_SAMPLE_RATE:
            return DeviceError(f"the {what} does not do {self.rate} Hz; its own rate is {own} Hz")
        if code == DEVICE_UNAVAILABLE:
            return DeviceError(
                f"the {what} is busy or gone ({_reason(error)}); close the program that uses it, "
                "or choose another device"
            )
        return DeviceError(
            f"the {what} cannot be opened ({_reason(error)}); choose another from 'streamcodec "
            "loopback --list-devices'"
        )


def _reason(error: Exception) -> str:
    text = str(error.args[0] if error.args else error)
    # "Error opening RawInputStream: Device unavailable [PaErrorCode -9985]"
    return text.rpartition(": ")[2].partition(" [")[0].strip()
