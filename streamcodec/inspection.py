"""A stream taken apart into arrays, for pictures and measurements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audiofile import open_recording
from .core.packet import Packet
from .speech import geometry
from .speech.frontend import MelFrontEnd
from .speech.model import SpeechModel
from .speech.resample import StreamingInput
from .speech.vocoders import DEFAULT_VOCODER
from .streamfile import open_stream

DECIBELS_PER_NEPER = 20 / np.log(10)


@dataclass(frozen=True)
class StreamView:
    """The beginning of a stream, as arrays over time.

    Attributes
    ----------
    name, model, vocoder : str
        Of the file, of its model, and how it was decoded.
    start, seconds : float
        What part of the stream is shown.
    kbps : float
        Average payload over that part.
    decoded : ndarray, shape (frames, n_mels), float32
        Mel-spectrogram of the decoded sound, in dB.
    original : ndarray, shape (frames, n_mels), float32, or None
        Of the recording that was encoded.
    symbols : ndarray, shape (steps, latent_dim), int32
        What the latents were quantized to; zeros where a packet is lost.
    bits : ndarray, shape (packets,), float64
        Payload of each packet; 0 where it is lost.
    refresh : ndarray, shape (packets,), bool
        Packets at which a decoder can start.
    frame_seconds, step_seconds, packet_seconds : float
        Distances on the three time axes.
    band_frequencies : ndarray, shape (n_mels,), float64
        Centre of each mel band, Hz.
    """

    name: str
    model: str
    vocoder: str
    start: float
    seconds: float
    kbps: float
    decoded: np.ndarray
    original: np.ndarray | None
    symbols: np.ndarray
    bits: np.ndarray
    refresh: np.ndarray
    frame_seconds: float
    step_seconds: float
    packet_seconds: float
    band_frequencies: np.ndarray


def view_stream(
    path: Path,
    *,
    original: Path | None = None,
    seconds: float = 20.0,
    vocoder: str = DEFAULT_VOCODER,
    recover: bool = False,
    model: str | Path | None = None,
) -> StreamView:
    """Decode the beginning of a stream and collect what is worth seeing.

    Parameters
    ----------
    path : Path
        A speech stream.
    original : Path, optional
        The recording that was encoded, in any format.
    seconds : float
        How much to look at, from the beginning.
    vocoder, recover, model
        As for :func:`streamcodec.decode_file`.

    Raises
    ------
    OSError
        A file cannot be read.
    StreamcodecError
        A file is not what it should be.
    """
    with open_stream(path, recover=recover) as stream:
        decoder = stream.decoder(vocoder=vocoder, model=model)
        steps_per_packet = decoder.header.steps_per_packet
        reader = _SymbolReader(decoder.model, steps_per_packet)
        wanted = round(seconds * geometry.SAMPLE_RATE)
        sound: list[np.ndarray] = []
        taken = 0
        for samples in stream.decode(decoder, listener=reader.take):
            sound.append(samples[: wanted - taken])
            taken += len(sound[-1])
            if taken == wanted:
                break
    front = MelFrontEnd(decoder.model.filterbank)
    decoded = _decibels(front.push(_joined(sound)))
    front.reset()
    target = None
    if original is not None:
        target = _decibels(front.push(_joined(_samples_of(original, taken))))
    packet_seconds = decoder.frame_size / geometry.SAMPLE_RATE
    shown = taken / geometry.SAMPLE_RATE
    bits = np.array(reader.bits, np.float64)
    covered = len(bits) * packet_seconds
    return StreamView(
        name=path.name,
        model=decoder.model.name,
        vocoder=vocoder,
        start=0.0,
        seconds=max(shown, packet_seconds),
        kbps=float(bits.sum()) / covered / 1000 if covered else 0.0,
        decoded=decoded,
        original=target,
        symbols=np.concatenate([reader.nothing[:0], *reader.symbols]),
        bits=bits,
        refresh=np.array(reader.refresh, bool),
        frame_seconds=geometry.HOP_LENGTH / geometry.SAMPLE_RATE,
        step_seconds=geometry.STEP_SAMPLES / geometry.SAMPLE_RATE,
        packet_seconds=packet_seconds,
        band_frequencies=_band_centres(decoder.model.filterbank),
    )


class _SymbolReader:
    """Follows the packets of a stream and keeps their symbols."""

    def __init__(self, model: SpeechModel, steps_per_packet: int) -> None:
        self._prior = model.prior
        self._steps = steps_per_packet
        self._context: np.ndarray | None = None
        self.nothing = np.zeros((steps_per_packet, model.latent_dim), np.int32)
        self.symbols: list[np.ndarray] = []
        self.bits: list[int] = []
        self.refresh: list[bool] = []

    def take(self, packet: Packet | None) -> None:
        """Read the next packet; None stands for one that is lost."""
        symbols = self.nothing
        if packet is None:
            self._context = None
        elif packet.refresh:
            self._context = self._prior.initial_context()
        if packet is not None and self._context is not None:
            symbols, self._context = self._prior.decode(
                packet.payload, self._steps, self._context, packet.rate
            )
        self.symbols.append(symbols)
        self.bits.append(0 if packet is None else packet.bits)
        self.refresh.append(packet is not None and packet.refresh)


def _samples_of(path: Path, count: int) -> Iterable[np.ndarray]:
    """Yield the first samples of a recording at the codec's rate, mono."""
    with open_recording(path) as recording:
        resampler = StreamingInput(recording.sample_rate, recording.channels)
        for block in recording.blocks:
            samples = resampler.push(block)[:count]
            count -= len(samples)
            yield samples
            if not count:
                return
        yield resampler.flush()[:count]


def _joined(blocks: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _decibels(mel: np.ndarray) -> np.ndarray:
    """Undo the normalization of mel frames: from standard units to decibels."""
    return (mel * geometry.MEL_STD + geometry.MEL_MEAN) * DECIBELS_PER_NEPER


def _band_centres(filterbank: np.ndarray) -> np.ndarray:
    """Centre of gravity of each band of a filterbank, Hz, ascending."""
    frequencies = np.arange(geometry.N_BINS) * geometry.SAMPLE_RATE / geometry.N_FFT
    weights = filterbank.sum(axis=1)
    return (filterbank @ frequencies) / np.where(weights > 0, weights, 1.0)
