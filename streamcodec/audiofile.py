"""Recordings on disk, block by block: what ``files`` needs to read and write sound.

libsndfile reads and writes the usual formats; what it does not know (AAC in MP4, WebM, AMR, ...)
goes through the ``ffmpeg`` program where there is one. Memory does not grow with the recording.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from .errors import InputError

BLOCK_VALUES = 1 << 16
"""Values (frames times channels) read at once: two seconds of stereo at 16 kHz."""

OUTPUT_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
}
"""libsndfile's names of container and coding for each suffix that can be written."""

_AU_MAGIC = b".snd"
_AU_HEADER = struct.Struct(">4sIIIII")
_AU_FLOAT32 = 6
"""Encoding number of 32-bit float in Sun's AU format, through which ffmpeg hands sound over: it
is the one header that can be read from a pipe, and it keeps rate and channel count."""


@dataclass(frozen=True)
class Recording:
    """A recording that is being read.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    channels : int
    seconds : float or None
        Length as the file states it; None where it does not.
    blocks : iterator of ndarray, shape (n, channels), float32
        Full scale is -1 ... 1. Can be consumed once.
    """

    sample_rate: int
    channels: int
    seconds: float | None
    blocks: Iterator[np.ndarray]


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open a recording in any format that libsndfile or ffmpeg reads.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
        The file does not exist or may not be read.
    InputError
        It is not sound, or it needs ffmpeg and there is none.
    """
    with path.open("rb"):  # libsndfile reports a missing file and a foreign one alike
        pass
    try:
        file = soundfile.SoundFile(str(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a suffix that means headerless
        with _open_with_ffmpeg(path) as recording:
            yield recording
        return
    with file:
        seconds = file.frames / file.samplerate
        yield Recording(file.samplerate, file.channels, seconds, _sndfile_blocks(file, path))


def _sndfile_blocks(file: soundfile.SoundFile, path: Path) -> Iterator[np.ndarray]:
    frames = max(1, BLOCK_VALUES // file.channels)
    while True:
        try:
            block = file.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{path} is damaged: its sound cannot be read beyond "
                f"{file.tell() / file.samplerate:.1f} s ({_reason(error)})"
            ) from error
        if not len(block):
            return
        yield block


@contextmanager
def _open_with_ffmpeg(path: Path) -> Iterator[Recording]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise InputError(
            f"{path} is not a recording that libsndfile reads (wav, flac, ogg, opus, mp3, aiff, "
            "...); for other formats install the ffmpeg program, or convert the file to wav"
        )
    # "file:" and the list of protocols keep ffmpeg from taking a name for an address.
    command = [
        program, "-nostdin", "-hide_banner", "-loglevel", "error",
        "-protocol_whitelist", "file,pipe", "-i", f"file:{path}",
        "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )
        try:
            pipe = process.stdout
            if pipe is None:
                raise OSError("ffmpeg was started without a pipe to read from")
            header = pipe.read(_AU_HEADER.size)
            if len(header) < _AU_HEADER.size:
                raise _ffmpeg_failed(path, process, log)
            magic, start, _, encoding, sample_rate, channels = _AU_HEADER.unpack(header)
            if magic != _AU_MAGIC or encoding != _AU_FLOAT32 or not sample_rate or not channels:
                raise _ffmpeg_failed(path, process, log)
            pipe.read(start - _AU_HEADER.size)
            blocks = _ffmpeg_blocks(pipe, channels, path, process, log)
            yield Recording(sample_rate, channels, None, blocks)
        finally:
            process.kill()
            process.communicate()


def _ffmpeg_blocks(
    pipe: IO[bytes], channels: int, path: Path, process: subprocess.Popen[bytes], log: IO[bytes]
) -> Iterator[np.ndarray]:
    frame_bytes = 4 * channels
    frames = max(1, BLOCK_VALUES // channels)
    while data := pipe.read(frames * frame_bytes):
        whole = len(data) - len(data) % frame_bytes
        values = np.frombuffer(data[:whole], dtype=">f4").astype(np.float32)
        yield values.reshape(-1, channels)
    if process.wait() != 0:
        raise _ffmpeg_failed(path, process, log)


def _ffmpeg_failed(path: Path, process: subprocess.Popen[bytes], log: IO[bytes]) -> InputError:
    process.wait()
    log.seek(0)
    lines = log.read(4096).decode(errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix(f"file:{path}: ") if lines else "no sound in it"
    return InputError(f"{path} is not a recording that libsndfile or ffmpeg reads ({reason})")


def output_format(path: Path) -> tuple[str, str]:
    """Give libsndfile's container and coding for the suffix of an output file.

    Raises
    ------
    InputError
        The suffix is none of `OUTPUT_FORMATS`.
    """
    try:
        return OUTPUT_FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(OUTPUT_FORMATS)
        found = path.suffix or "no suffix"
        raise InputError(f"cannot tell what to write to {path}: {found}, not one of {known}") from (
            None
        )


class RecordingWriter:
    """Writes mono sound to a file, block by block.

    Parameters
    ----------
    path : Path
        Written from its start; no suffix is looked at.
    sample_rate : int
        In Hz.
    container, coding : str
        As `output_format` gives them.

    Raises
    ------
    OSError
        The disk is full or the file may not be written.
    """

    def __init__(self, path: Path, sample_rate: int, container: str, coding: str) -> None:
        self._path = path
        self.samples = 0
        with self._as_os_error():
            self._file = soundfile.SoundFile(
                str(path), "w", sample_rate, channels=1, format=container, subtype=coding
            )

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def write(self, samples: np.ndarray) -> None:
        """Append samples, float32 of shape (n,); what is beyond full scale is clipped."""
        with self._as_os_error():
            self._file.write(np.clip(samples, -1.0, 1.0))
        self.samples += len(samples)

    def close(self) -> None:
        """Write what is left and check that all of it has arrived."""
        with self._as_os_error():
            self._file.close()
            found = soundfile.info(str(self._path)).frames
        if found != self.samples:  # libsndfile does not report a disk that fills up on closing
            raise OSError(f"only {found} of {self.samples} samples could be written")

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except (soundfile.LibsndfileError, AssertionError) as error:  # how soundfile fails
            raise OSError(f"writing sound failed ({_reason(error) or 'disk full?'})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).strip().rstrip(".")
    return str(error)
