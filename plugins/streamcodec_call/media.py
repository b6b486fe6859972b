"""Where a client's sound comes from and goes to: files in real time, sound devices, nowhere."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from .errors import CallError
from .jitter import SAMPLE_RATE

NOTHING = "none"
DEFAULT_DEVICE = "default"

OUTPUT_SUFFIXES = (".wav", ".flac")

QUEUED_BLOCKS = 10
"""Blocks that wait between a device and the client; the oldest give way."""

DEAD_SECONDS = 3.0
"""Without a block from a microphone before it counts as unplugged: drivers may stall for less."""


class Source(Protocol):
    """Where sound is captured."""

    sample_rate: int
    channels: int
    started: float | None
    ends: bool

    def blocks(self, seconds: float) -> AsyncIterator[np.ndarray]:
        """Blocks of ``seconds``, each as it is complete."""

    def close(self) -> None:
        """Let go of file or device."""


class Sink(Protocol):
    """Where sound is played."""

    started: float | None

    def write(self, block: np.ndarray) -> None:
        """Play mono float32 at 16 kHz; must not block."""

    def close(self) -> None:
        """Let go of file or device."""


class FileSource:
    """A recording as if it were spoken now.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CallError
        It cannot be read as sound.
    """

    ends = True

    def __init__(self, path: Path) -> None:
        try:
            self._file = soundfile.SoundFile(str(path))
        except soundfile.LibsndfileError as error:
            raise CallError(f"{path} cannot be read as sound: {error}") from error
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.started: float | None = None

    async def blocks(self, seconds: float) -> AsyncIterator[np.ndarray]:
        """Blocks of ``seconds``, paced by the clock; the last one is filled up with silence."""
        frames = round(seconds * self.sample_rate)
        self.started = time.monotonic()
        count = 0
        while True:
            block = self._file.read(frames, dtype="float32", always_2d=True, fill_value=None)
            if not len(block):
                return
            block = np.pad(block, ((0, frames - len(block)), (0, 0)))
            count += 1
            due = self.started + count * frames / self.sample_rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield block

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class NoSource:
    """Nothing to say."""

    sample_rate = SAMPLE_RATE
    channels = 1
    ends = False
    started: float | None = None

    async def blocks(self, seconds: float) -> AsyncIterator[np.ndarray]:
        """Silence, which is not sent."""
        block = np.zeros((round(seconds * SAMPLE_RATE), 1), np.float32)
        while True:
            await asyncio.sleep(seconds)
            yield block

    def close(self) -> None:
        """Nothing to close."""


class DeviceSource:
    """A microphone.

    Parameters
    ----------
    device : str
        Number, or part of a name, as sounddevice takes them; ``"default"``.
    """

    ends = False
    sample_rate = SAMPLE_RATE
    channels = 1

    def __init__(self, device: str) -> None:
        self._device = device
        self._sounddevice = import_sounddevice()
        self._stream: Any = None
        self.started: float | None = None

    async def blocks(self, seconds: float) -> AsyncIterator[np.ndarray]:
        """Blocks of ``seconds``; where the client is too slow the oldest are lost.

        Raises
        ------
        CallError
            The device cannot be opened, or gives no more sound.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[np.ndarray] = asyncio.Queue(QUEUED_BLOCKS)

        def enqueue(block: np.ndarray) -> None:
            if waiting.full():
                waiting.get_nowait()
            waiting.put_nowait(block)

        def captured(data: np.ndarray, *_: Any) -> None:
            loop.call_soon_threadsafe(enqueue, data.copy())

        self._stream = _open(
            self._sounddevice, self._sounddevice.InputStream, self._device, "microphone",
            blocksize=round(seconds * SAMPLE_RATE), callback=captured,
        )  # fmt: skip
        self.started = time.monotonic()
        while True:
            try:
                yield await asyncio.wait_for(waiting.get(), DEAD_SECONDS)
            except TimeoutError:
                raise CallError(
                    f"the microphone {self._device!r} gives no more sound; was it unplugged?"
                ) from None

    def close(self) -> None:
        """Let go of the device."""
        if self._stream is not None:
            self._stream.close()


class FileSink:
    """A recording of what is heard: WAV or FLAC, 16 kHz, mono."""

    def __init__(self, path: Path) -> None:
        try:
            if not path.parent.is_dir():
                raise CallError(f"{path} cannot be written: there is no folder {path.parent}")
            self._file = soundfile.SoundFile(str(path), "w", SAMPLE_RATE, 1)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise CallError(f"{path} cannot be written as sound: {error}") from error
        self.started: float | None = None

    def write(self, block: np.ndarray) -> None:
        """Add a block."""
        if self.started is None:
            self.started = time.monotonic()
        self._file.write(block)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class NoSink:
    """Sound that nobody hears."""

    started: float | None = None

    def write(self, block: np.ndarray) -> None:
        """Forget a block."""

    def close(self) -> None:
        """Nothing to close."""


class DeviceSink:
    """A speaker; a thread of its own waits for it.

    Parameters
    ----------
    device : str
        As for :class:`DeviceSource`.
    """

    def __init__(self, device: str) -> None:
        sounddevice = import_sounddevice()
        self.started: float | None = None
        self._device = device
        self._error: type[Exception] = sounddevice.PortAudioError
        self._failure = ""
        self._stream = _open(
            sounddevice, sounddevice.OutputStream, device, "speaker", latency="low"
        )
        self._waiting: queue.Queue[np.ndarray | None] = queue.Queue(QUEUED_BLOCKS)
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def write(self, block: np.ndarray) -> None:
        """Queue a block; dropped where the device does not keep up.

        Raises
        ------
        CallError
            The device is gone.
        """
        if self._failure:
            raise CallError(
                f"the speaker {self._device!r} plays no more ({self._failure}); was it unplugged?"
            )
        if self.started is None:
            self.started = time.monotonic()
        if not self._waiting.full():
            self._waiting.put_nowait(block)

    def _play(self) -> None:
        while (block := self._waiting.get()) is not None:
            # Once it has failed blocks are only taken, so that nobody waits for room.
            if self._failure:
                continue
            try:
                self._stream.write(np.ascontiguousarray(block[:, None]))
            except self._error as error:
                self._failure = str(error)

    def close(self) -> None:
        """Play what is queued and let go of the device."""
        self._waiting.put(None)
        self._thread.join()
        self._stream.close()


def open_source(name: str) -> Source:
    """The source called ``name``: ``"none"``, an existing file, or a device."""
    if name == NOTHING:
        return NoSource()
    path = Path(name)
    if path.is_file():
        return FileSource(path)
    if path.suffix and path.suffix[1:].isalpha():
        raise CallError(f"{name}: no such file; give a recording, a device, or 'none'")
    return DeviceSource(name)


def open_sink(name: str) -> Sink:
    """The sink called ``name``: ``"none"``, a file to write, or a device."""
    if name == NOTHING:
        return NoSink()
    path = Path(name)
    if path.suffix.lower() in OUTPUT_SUFFIXES:
        return FileSink(path)
    return DeviceSink(name)


def import_sounddevice() -> Any:
    """The sounddevice module.

    Raises
    ------
    CallError
        It or the PortAudio library is missing.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise CallError(
            "sound devices need the sounddevice package; install it with "
            "'pip install streamcodec[live]', or use files with --input and --output"
        ) from error
    except OSError as error:
        raise CallError(
            f"sound devices need the PortAudio library ({error}); install it (Debian: "
            "libportaudio2), or use files with --input and --output"
        ) from error
    return sounddevice


def _open(sounddevice: Any, kind: Any, device: str, what: str, **options: Any) -> Any:
    chosen: int | str | None = int(device) if device.isdecimal() else device
    try:
        stream = kind(
            samplerate=SAMPLE_RATE,
            channels=1,
            dtype="float32",
            device=None if device == DEFAULT_DEVICE else chosen,
            **options,
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        if device == DEFAULT_DEVICE and min(sounddevice.default.device) < 0:
            raise CallError(
                f"this machine has no {what}; connect one, or give a file or 'none' "
                f"({'--input' if what == 'microphone' else '--output'})"
            ) from error
        raise CallError(
            f"no {what} can be opened as {device!r} ({error}); name another device, a file, or "
            "'none'"
        ) from error
    return stream
