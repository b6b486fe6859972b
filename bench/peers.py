"""What a codec is to the bench, and the codecs that need no library at all.

A codec takes one clip as float32 at 16 kHz and gives back its bits, the decoded sound and the
time that coding and decoding took. Whatever the codec needs besides (another rate, 16-bit
integers, whole frames) happens in here, outside the measured time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.signals import SAMPLE_RATE, Sound, fit_length, resample, to_int16

NARROWBAND_RATE = 8_000
FLUSH_SECONDS = 0.06
"""Frames fed after the sound so that the decoder gives its end; their bits are not counted."""

EncodeFrame = Callable[[NDArray[np.int16]], tuple[bytes, int]]
DecodeFrame = Callable[[bytes], NDArray[np.int16]]


@dataclass(frozen=True)
class Transcoded:
    """What came out of a codec for one clip.

    Attributes
    ----------
    bits : int
        Payload bits, without transport or container.
    sound : ndarray of float32, shape (m,)
        Decoded, at 16 kHz; it may lag and its length may differ from the input's.
    encode_seconds, decode_seconds : float
        Processor time.
    """

    bits: int
    sound: Sound
    encode_seconds: float
    decode_seconds: float


class Codec(ABC):
    """One codec at one setting.

    Attributes
    ----------
    name : str
        Unique row name in the table.
    cacheable : bool
        Whether results may be kept between runs; not for a codec that is being worked on.
    """

    name: str
    cacheable: bool = True

    @abstractmethod
    def available(self) -> str | None:
        """Why the codec cannot run on this machine, or ``None`` if it can."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Changes whenever the result may change; only asked of an available codec."""

    @abstractmethod
    def transcode(self, sound: Sound) -> Transcoded:
        """Encode and decode one clip, as a new stream."""


class Stopwatch:
    """Processor time of this process spent inside ``with`` blocks, seconds.

    Not wall-clock time: a figure should not depend on what else the machine is doing. For a
    single-threaded codec on an idle core the two are the same.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._start = time.process_time()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds += time.process_time() - self._start


class FrameCodec(Codec):
    """A codec that turns frames of fixed length into packets and back.

    Attributes
    ----------
    rate : int
        Sampling rate inside the codec, Hz.
    frame_length : int
        Samples in a frame at that rate.
    """

    rate: int
    frame_length: int

    @abstractmethod
    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Start a stream: a function from frame to (packet, payload bits), and one back."""

    def transcode(self, sound: Sound) -> Transcoded:
        """Encode and decode one clip, frame by frame."""
        samples = to_int16(resample(sound, SAMPLE_RATE, self.rate))
        counted = -(-len(samples) // self.frame_length)
        flushed = -(-int(FLUSH_SECONDS * self.rate) // self.frame_length)
        frames = np.zeros((counted + flushed, self.frame_length), np.int16)
        frames.reshape(-1)[: len(samples)] = samples

        encode, decode = self.open()
        with Stopwatch() as encoding:
            packets = [encode(frame) for frame in frames]
        with Stopwatch() as decoding:
            decoded = [decode(packet) for packet, _ in packets]
        pcm = np.concatenate(decoded).astype(np.float32) / np.float32(32768.0)
        return Transcoded(
            bits=sum(bits for _, bits in packets[:counted]),
            sound=resample(pcm, self.rate, SAMPLE_RATE),
            encode_seconds=encoding.seconds,
            decode_seconds=decoding.seconds,
        )


class Identity(Codec):
    """The recording itself, as 16-bit samples: the ceiling of every metric."""

    version = "1"

    def __init__(self, name: str = "identity", rate: int = SAMPLE_RATE) -> None:
        self.name = name
        self.rate = rate

    def available(self) -> str | None:
        """Always there."""
        return None

    def transcode(self, sound: Sound) -> Transcoded:
        """Pass the sound through 16 bits at the codec's rate."""
        samples = to_int16(resample(sound, SAMPLE_RATE, self.rate))
        pcm = samples.astype(np.float32) / np.float32(32768.0)
        back = fit_length(resample(pcm, self.rate, SAMPLE_RATE), len(sound))
        return Transcoded(16 * len(samples), back, 0.0, 0.0)
