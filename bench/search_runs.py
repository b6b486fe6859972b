"""One setting of the search, measured on a set of recordings.

Everything runs through the encoder and decoder streams, so that what is measured is what a
caller gets: payload bits, processor time, the distance the search closes, and PESQ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bench.clips import Clip
from bench.metrics import Pesq
from bench.peers import Stopwatch
from bench.signals import align
from bench.table import Estimate, estimate
from streamcodec.core.distortion import audible_l1
from streamcodec.core.packet import Packet
from streamcodec.speech import geometry
from streamcodec.speech.decoder import SpeechDecoder
from streamcodec.speech.encoder import SpeechEncoder
from streamcodec.speech.frontend import MelFrontEnd
from streamcodec.speech.model import SpeechModel

PER_CLIP = ("bits", "seconds", "distance", "pesq_nb_raw", "pesq_wb", "encode_ms", "packets")
"""What is kept of each recording, in this order."""


@dataclass(frozen=True)
class Measured:
    """One setting's figures.

    Attributes
    ----------
    name : str
        The setting, as the table shows it.
    group : str
        Which line of the figure it belongs to.
    position : float
        Where it stands on that line: complexity, iterations or lattice step.
    per_clip : ndarray of float64, shape (clips, len(PER_CLIP))
        Values of each recording.
    entropy : float
        Bits a second of the symbols if each channel had its own ideal table, fitted on the
        very symbols it codes.
    """

    name: str
    group: str
    position: float
    per_clip: NDArray[np.float64]
    entropy: float

    def column(self, key: str) -> NDArray[np.float64]:
        """One value of all recordings, ``(clips,)``."""
        return self.per_clip[:, PER_CLIP.index(key)]

    def mean(self, key: str) -> float:
        """Mean over the recordings that have a value."""
        return float(np.nanmean(self.column(key)))

    @property
    def kbps(self) -> float:
        """Payload, kbit/s."""
        return float(self.column("bits").sum() / self.column("seconds").sum() / 1000.0)

    @property
    def milliseconds(self) -> float:
        """Processor time of encoding one packet, ms."""
        return float(self.column("encode_ms").sum() / self.column("packets").sum())

    def interval(self, key: str) -> Estimate:
        """Mean with its interval over recordings."""
        return mean_estimate(self.column(key))

    def summary(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            "name": self.name,
            "group": self.group,
            "position": self.position,
            "kbps": self.kbps,
            "entropy_kbps": self.entropy / 1000.0,
            "distance": self.mean("distance"),
            "pesq_nb_raw": asdict(self.interval("pesq_nb_raw")),
            "pesq_wb": asdict(self.interval("pesq_wb")),
            "encode_ms_per_packet": self.milliseconds,
            "clips": [dict(zip(PER_CLIP, row, strict=True)) for row in self.per_clip.tolist()],
        }

    @classmethod
    def from_summary(cls, entry: Mapping[str, Any]) -> Measured:
        """What :meth:`summary` has told."""
        rows = [
            [np.nan if row[key] is None else row[key] for key in PER_CLIP] for row in entry["clips"]
        ]
        return cls(
            entry["name"],
            entry["group"],
            entry["position"],
            np.array(rows, float),
            1000.0 * entry["entropy_kbps"],
        )


def mean_estimate(values: NDArray[np.float64]) -> Estimate:
    """Mean with its interval over the recordings that have a value."""
    values = values[np.isfinite(values)]
    return estimate(values, np.ones(len(values)))


class SearchBench:
    """Recordings through encoders of one model.

    Parameters
    ----------
    model : SpeechModel
        Its generator and vocoder decode everything.
    clips : sequence of Clip
        At least one.
    """

    def __init__(self, model: SpeechModel, clips: Sequence[Clip]) -> None:
        self.model = model
        self.clips = clips
        self._pesq = Pesq()
        self._progress = tqdm(unit="clip", smoothing=0.05)

    def measure(self, name: str, group: str, position: float, encoder: SpeechEncoder) -> Measured:
        """Send every recording through an encoder and a decoder of its model."""
        decoder = SpeechDecoder(encoder.header, model=encoder.model)
        self._progress.set_description(name)
        rows, symbols = [], []
        for clip in self.clips:
            encoder.reset()
            decoder.reset()
            with Stopwatch() as encoding:
                packets = encoder.push(clip.sound) + encoder.flush()
            found = packet_symbols(encoder.model, packets)
            sound = [decoder.push(bytes(packet)) for packet in packets] + [decoder.flush()]
            scores = self._pesq.score(clip, align(np.concatenate(sound), clip.sound))
            rows.append(
                (
                    sum(packet.bits for packet in packets),
                    clip.seconds,
                    audible_distance(encoder.model, packets, found, clip.sound),
                    scores["pesq_nb_raw"],
                    scores["pesq_wb"],
                    1000.0 * encoding.seconds,
                    len(packets),
                )
            )
            symbols += found
            self._progress.update()
        steps = np.concatenate(symbols)
        seconds = len(steps) * geometry.STEP_SAMPLES / geometry.SAMPLE_RATE
        return Measured(
            name, group, position, np.array(rows, np.float64), channel_entropy(steps) / seconds
        )

    def close(self) -> None:
        """End the display of progress."""
        self._progress.close()


def packet_symbols(model: SpeechModel, packets: Sequence[Packet]) -> list[NDArray[np.int32]]:
    """What a decoder reads from each packet, ``(steps, channels)`` each."""
    context = model.prior.initial_context()
    found = []
    for packet in packets:
        if packet.refresh:
            context = model.prior.initial_context()
        steps = round(packet.duration * geometry.SAMPLE_RATE / geometry.STEP_SAMPLES)
        symbols, context = model.prior.decode(packet.payload, steps, context, packet.rate)
        found.append(symbols)
    return found


@torch.inference_mode()
def audible_distance(
    model: SpeechModel,
    packets: Sequence[Packet],
    symbols: Sequence[NDArray[np.int32]],
    sound: NDArray[np.float32],
) -> float:
    """Weighted L1 between the normalized log-mels of a recording and of what is decoded of it."""
    pairs = zip(symbols, packets, strict=True)
    latents = torch.cat([torch.from_numpy(s).float() / model.gains[p.rate] for s, p in pairs])
    decoded, _ = model.generator(latents[None])
    samples = len(latents) * geometry.STEP_SAMPLES
    mel = MelFrontEnd(model.filterbank).push(np.pad(sound, (0, samples - len(sound))))
    return float(audible_l1(decoded, torch.from_numpy(mel)[None])[0])


def channel_entropy(symbols: NDArray[np.int32]) -> float:
    """Bits of symbols ``(steps, channels)`` under the ideal static table of each channel."""
    total = 0.0
    for column in symbols.T:
        _, counts = np.unique(column, return_counts=True)
        total -= float((counts * np.log2(counts / len(column))).sum())
    return total


def with_lattice(model: SpeechModel, rung: int, step: float) -> tuple[SpeechModel, int]:
    """The same networks and latents on a lattice ``step`` times as coarse as a rung's.

    Of the priors that the ladder has been trained for, the one whose lattice is nearest codes the
    symbols, and the trade-off follows the ladder's: its logarithm is a line over that of the step.

    Returns
    -------
    model, rung
        The model with that one rung changed, and its index.
    """
    coarseness = -torch.log(model.gains / model.gains[rung]).mean(dim=1).double().numpy()
    wanted = float(np.log(step))
    nearest = int(np.abs(coarseness - wanted).argmin())
    slope, offset = np.polyfit(coarseness, np.log(np.array(model.trade_offs)), 1)
    changed = model.gains.clone()
    changed[nearest] = model.gains[rung] / step
    trade_offs = list(model.trade_offs)
    trade_offs[nearest] = float(np.exp(slope * wanted + offset))
    return replace(model, gains=changed, trade_offs=tuple(trade_offs)), nearest
