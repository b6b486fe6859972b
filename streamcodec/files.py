"""Recordings and streams on disk: the one part of the library that opens files.

Sound and packets pass through block by block, so that a recording of hours takes no more memory
than one of seconds, and what is written replaces an older file only when it is complete.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audiofile import RecordingWriter, open_recording, output_format
from .core.container import MAGIC, ContainerReader, ContainerWriter
from .core.packet import Packet, StreamHeader
from .errors import InputError
from .safefile import replacing, require_writable
from .speech.decoder import SpeechDecoder
from .speech.encoder import SpeechEncoder

READ_BYTES = 1 << 16
"""Bytes of a stream read at once."""

Progress = Callable[[float, float | None], None]
"""Called with seconds done and seconds in all (None where unknown)."""


@dataclass(frozen=True)
class EncodeReport:
    """What encoding a recording took and gave.

    Attributes
    ----------
    kbps : float
        Average payload, kbit/s: ``payload_bits`` over ``seconds``.
    wire_kbps : float
        The same with the packets' own headers.
    payload_bits : int
        Bits of all payloads, counted in whole bytes.
    file_bytes : int
        Size of the stream file.
    seconds : float
        Length of the recording.
    packets : int
    real_time_factor : float
        Seconds of work for a second of sound, without loading the model; below 1 is faster than
        real time, 0 for an empty recording.
    algorithmic_delay_ms : float
        How long a sample waits at most before it can be decoded, computing time aside.
    model, model_identity : str
        Name of the model and the identity that the stream carries, hexadecimal.
    bitrate, complexity, quantizer, low_delay
        As asked for.
    """

    kbps: float
    wire_kbps: float
    payload_bits: int
    file_bytes: int
    seconds: float
    packets: int
    real_time_factor: float
    algorithmic_delay_ms: float
    model: str
    model_identity: str
    bitrate: int
    complexity: int
    quantizer: str
    low_delay: bool


@dataclass(frozen=True)
class DecodeReport:
    """What decoding a stream took and gave.

    Attributes
    ----------
    seconds : float
        Length of the sound.
    sample_rate : int
        In Hz.
    real_time_factor : float
        Seconds of work for a second of sound, without loading the model.
    packets, concealed_packets : int
        Packets in all, and those of them that were lost or damaged and had to be concealed.
    model, vocoder : str
    """

    seconds: float
    sample_rate: int
    real_time_factor: float
    packets: int
    concealed_packets: int
    model: str
    vocoder: str
