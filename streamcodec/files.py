"""Recordings and streams on disk: the one part of the library that opens files.

Sound and packets pass through block by block, so that a recording of hours takes no more memory
than one of seconds, and what is written replaces an older file only when it is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from . import __version__
from .audiofile import Recording, RecordingWriter, open_recording, output_format
from .core.container import ContainerWriter
from .core.packet import Packet
from .errors import InputError
from .safefile import checked_pair, replacing
from .speech.encoder import SpeechEncoder
from .speech.vocoders import DEFAULT_VOCODER
from .streamfile import is_stream, open_stream

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


def encode_file(
    src: str | Path,
    dst: str | Path,
    *,
    bitrate: int = 2000,
    complexity: int = 6,
    quantizer: str = "admm",
    low_delay: bool = False,
    model: str | Path | None = None,
    progress: Progress | None = None,
) -> EncodeReport:
    """Encode a recording to a stream file.

    Parameters
    ----------
    src : str or Path
        Any format that libsndfile reads (wav, flac, ogg, opus, mp3, ...), and what the ffmpeg
        program reads where that is installed; any sampling rate and channel count.
    dst : str or Path
        Stream file to write. An older file is replaced once the new one is complete.
    bitrate, complexity, quantizer, low_delay, model
        As for :class:`streamcodec.SpeechEncoder`.
    progress : callable, optional
        Called with seconds done and seconds in all (None if the file does not tell).

    Returns
    -------
    EncodeReport

    Raises
    ------
    OSError
        A file cannot be read or written.
    InputError
        The source is not sound or holds samples that cannot be encoded, source and target are
        the same file, or a setting is out of range.
    ModelError
        The model is missing or damaged.
    """
    src, dst = checked_pair(src, dst)
    if is_stream(src):
        raise InputError(f"{src} is a stream already; decode it first to encode it anew")
    with open_recording(src) as recording:
        encoder = SpeechEncoder(
            bitrate,
            complexity=complexity,
            quantizer=quantizer,
            low_delay=low_delay,
            sample_rate=recording.sample_rate,
            channels=recording.channels,
            model=model,
        )
        origin = {
            "writer": f"streamcodec {__version__}",
            "bitrate": bitrate,
            "sample_rate": recording.sample_rate,
            "channels": recording.channels,
        }
        begin = time.perf_counter()
        with replacing(dst) as part, part.open("wb") as file:
            output = _StreamOutput(file, ContainerWriter(encoder.header, origin))
            _encode_blocks(recording, encoder, output, src, progress)
            output.finish(encoder.samples_in)
        elapsed = time.perf_counter() - begin
    seconds = encoder.samples_in / encoder.sample_rate
    payload_bits = output.payload_bits
    return EncodeReport(
        kbps=payload_bits / seconds / 1000 if seconds else 0.0,
        wire_kbps=output.wire_bits / seconds / 1000 if seconds else 0.0,
        payload_bits=payload_bits,
        file_bytes=output.file_bytes,
        seconds=seconds,
        packets=output.packets,
        real_time_factor=elapsed / seconds if seconds else 0.0,
        algorithmic_delay_ms=1000 * encoder.algorithmic_delay / encoder.sample_rate,
        model=encoder.model.name,
        model_identity=encoder.header.identity.hex(),
        bitrate=bitrate,
        complexity=complexity,
        quantizer=quantizer,
        low_delay=low_delay,
    )


def decode_file(
    src: str | Path,
    dst: str | Path,
    *,
    vocoder: str = DEFAULT_VOCODER,
    recover: bool = False,
    model: str | Path | None = None,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode a stream file to a recording.

    Parameters
    ----------
    src : str or Path
        Stream file.
    dst : str or Path
        Recording to write; its suffix says how: .wav and .flac (16 bit), .ogg (Vorbis), .opus.
        An older file is replaced once the new one is complete.
    vocoder, model
        As for :class:`streamcodec.SpeechDecoder`.
    recover : bool
        Decode what is left of a damaged file, gaps concealed, rather than raise.
    progress : callable, optional
        Called with seconds done and seconds in all (None if the file does not tell).

    Returns
    -------
    DecodeReport

    Raises
    ------
    OSError
        A file cannot be read or written.
    FormatError
        The source is no stream of ours, or damaged and `recover` is not set.
    InputError
        The target's suffix is unknown, or source and target are the same file.
    ModelError
        The model is missing, damaged, or not the one that made the stream.
    """
    src, dst = checked_pair(src, dst)
    container, coding = output_format(dst)
    with open_stream(src, recover=recover) as stream:
        decoder = stream.decoder(vocoder=vocoder, model=model)
        begin = time.perf_counter()
        with replacing(dst) as part:
            writer = RecordingWriter(part, decoder.sample_rate, container, coding)
            with writer:
                for samples in stream.decode(decoder):
                    writer.write(samples)
                    if progress is not None:
                        progress(writer.samples / decoder.sample_rate, stream.seconds)
        elapsed = time.perf_counter() - begin
    seconds = writer.samples / decoder.sample_rate
    return DecodeReport(
        seconds=seconds,
        sample_rate=decoder.sample_rate,
        real_time_factor=elapsed / seconds if seconds else 0.0,
        packets=stream.packets,
        concealed_packets=stream.concealed_packets,
        model=decoder.model.name,
        vocoder=vocoder,
    )


class _StreamOutput:
    """Writes packets to a stream file and counts them."""

    def __init__(self, file: BinaryIO, writer: ContainerWriter) -> None:
        self._file = file
        self._writer = writer
        self.packets = self.payload_bits = self.wire_bits = 0
        self.file_bytes = file.write(writer.begin())

    def write(self, packets: list[Packet]) -> None:
        for packet in packets:
            self.file_bytes += self._file.write(self._writer.add(bytes(packet)))
            self.packets += 1
            self.payload_bits += packet.bits
            self.wire_bits += 8 * len(bytes(packet))

    def finish(self, total_samples: int) -> None:
        self.file_bytes += self._file.write(self._writer.finish(total_samples))


def _encode_blocks(
    recording: Recording,
    encoder: SpeechEncoder,
    output: _StreamOutput,
    src: Path,
    progress: Progress | None,
) -> None:
    """Take a recording through an encoder, telling where it is and where it fails."""
    frames = 0
    for block in recording.blocks:
        # Packet by packet, so that progress moves although a block holds seconds of sound.
        step = max(1, encoder.frame_size * recording.sample_rate // encoder.sample_rate)
        for start in range(0, len(block), step):
            piece = block[start : start + step]
            try:
                output.write(encoder.push(piece))
            except InputError as error:
                second = frames / recording.sample_rate
                raise InputError(f"{src}, near {second:.2f} s: {error}") from error
            frames += len(piece)
            if progress is not None:
                progress(frames / recording.sample_rate, recording.seconds)
    output.write(encoder.flush())
