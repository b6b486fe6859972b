"""What context is worth: the same symbols under ever better entropy models.

    python -m bench.entropy_coding FOLDER --fit TRAINING_FOLDER --bitrates 2000

E's guess of every recording is rounded once; those symbols are then rated by tables a channel,
by tables a channel that know the channel's previous symbol, by the learned prior in floating
point and in its integer form, and coded into real payloads. The tables are fitted on other
recordings (``--fit``), as a codec that carried them would have to. Contexts start anew wherever a
stream of the default settings refreshes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bench.clips import Clip, load_clips
from bench.table import Estimate, estimate
from streamcodec.errors import StreamcodecError
from streamcodec.speech import geometry
from streamcodec.speech.encoder import DEFAULT_REFRESH
from streamcodec.speech.frontend import MelFrontEnd
from streamcodec.speech.model import SpeechModel, load_speech_model

Symbols = NDArray[np.int32]
"""Latent symbols of one recording, ``(steps, channels)``."""

ADDED_COUNT = 0.5
"""Added to every count, as Krichevsky and Trofimov's estimator does (1981): no symbol that a
table has is impossible."""

PARENT_COUNTS = 16.0
"""Observations that a context needs before it outweighs the table without context (as the
strength of a Dirichlet prior). Powers of two from 4 to 64 give the same rate within 0.2 %."""

REFRESH_STEPS = DEFAULT_REFRESH * geometry.STEPS_PER_PACKET
"""Latent steps between refreshes."""

FIT_CLIPS = 40
"""Recordings of the fitting folder that are read unless told otherwise."""

CODERS = (
    "static tables",
    "tables on the previous value",
    "learned prior, float",
    "learned prior, integer",
    "packet payloads",
)


class SymbolTables:
    """Fixed tables: one distribution a channel, and one a channel and previous symbol.

    Symbols beyond ``reach`` take an escape and an Elias gamma code (Elias, 1975), as in the
    codec's own tables.

    Parameters
    ----------
    sequences : sequence of ndarray
        Symbols to fit to, each ``(steps, channels)``.
    reach : int
        Largest magnitude with an entry of its own, and with a context of its own.
    """

    def __init__(self, sequences: Sequence[Symbols], reach: int) -> None:
        self.reach = reach
        channels = sequences[0].shape[1]
        entries = 2 * reach + 2
        joint = np.zeros((channels, entries, entries))
        for symbols in sequences:
            index, context = self._entries(symbols), self._entries(before(symbols))
            where = np.broadcast_to(np.arange(channels), index.shape)
            np.add.at(joint, (where, context, index), 1.0)
        counts = joint.sum(axis=1) + ADDED_COUNT
        self.static = counts / counts.sum(axis=1, keepdims=True)
        """``(channels, entries)`` probabilities."""
        support = joint.sum(axis=2, keepdims=True) + PARENT_COUNTS
        self.conditional = (joint + PARENT_COUNTS * self.static[:, None]) / support
        """``(channels, previous, entries)`` probabilities."""

    def bits(self, symbols: Symbols) -> tuple[float, float]:
        """Bits of a sequence under the static and under the conditional tables."""
        index, context = self._entries(symbols), self._entries(before(symbols))
        channel = np.arange(symbols.shape[1])
        excess = np.maximum(np.abs(symbols) - self.reach, 0)
        # A sign, then Elias gamma of the excess: 2 floor(log2 e) + 1 bits.
        tail = np.where(excess > 0, 2.0 + 2.0 * np.floor(np.log2(np.maximum(excess, 1))), 0.0)
        static = -np.log2(self.static[channel, index])
        conditional = -np.log2(self.conditional[channel, context, index])
        return float((static + tail).sum()), float((conditional + tail).sum())

    def _entries(self, symbols: Symbols) -> NDArray[np.intp]:
        """Table entries of symbols; the last is the escape."""
        inside = np.abs(symbols) <= self.reach
        return np.where(inside, symbols + self.reach, 2 * self.reach + 1).astype(np.intp)


def before(symbols: Symbols) -> Symbols:
    """Each symbol's predecessor in its channel; zero behind a refresh."""
    previous = np.zeros_like(symbols)
    previous[1:] = symbols[:-1]
    previous[::REFRESH_STEPS] = 0
    return previous


@torch.inference_mode()
def guessed_latents(model: SpeechModel, sound: NDArray[np.float32]) -> torch.Tensor:
    """E's latents of a recording, ``(steps, channels)`` before the gains; whole packets of it."""
    packet = geometry.STEP_SAMPLES * geometry.STEPS_PER_PACKET
    padded = np.pad(sound, (0, -len(sound) % packet))
    mel = torch.from_numpy(MelFrontEnd(model.filterbank).push(padded))
    latents, _ = model.encoder(mel[None])
    return latents[0]


def rounded(latents: torch.Tensor, gain: torch.Tensor) -> Symbols:
    """Symbols of latents at one rung."""
    symbols: Symbols = (latents * gain).round().to(torch.int32).numpy()
    return symbols


@torch.inference_mode()
def learned_bits(model: SpeechModel, symbols: Symbols, rung: int) -> tuple[float, float, int]:
    """Bits under the float prior, under its integer form, and in payloads of whole bytes."""
    floating, integer, payload = 0.0, 0.0, 0
    prior = model.prior
    for start in range(0, len(symbols), REFRESH_STEPS):
        span = symbols[start : start + REFRESH_STEPS]
        context = prior.initial_context()
        values = torch.from_numpy(span).float()[None]
        past = torch.from_numpy(context).float()[None]
        floating += float(model.search_prior.bits(values, values, past, torch.tensor([rung])).sum())
        integer += prior.bits(span, context, rung)
        for packet in _packets(span):
            coded, context = prior.encode(packet, context, rung)
            payload += 8 * len(coded)
    return floating, integer, payload


def _packets(span: Symbols) -> Iterator[Symbols]:
    for start in range(0, len(span), geometry.STEPS_PER_PACKET):
        yield span[start : start + geometry.STEPS_PER_PACKET]


@dataclass(frozen=True)
class Row:
    """One entropy model at one rung.

    Attributes
    ----------
    bitrate : int
        Nominal rate of the rung, bit/s.
    coder : str
        One of ``CODERS``.
    rate : Estimate
        Bits for a second of sound, with its interval over recordings.
    saved_percent : float
        Of the bits that static tables take.
    """

    bitrate: int
    coder: str
    rate: Estimate
    saved_percent: float


def measure(
    model: SpeechModel, clips: Sequence[Clip], fit: Sequence[Clip], rungs: Sequence[int]
) -> list[Row]:
    """Rate every recording under every entropy model at every rung."""
    fitting = [guessed_latents(model, c.sound) for c in tqdm(fit, desc="fit", unit="clip")]
    latents = [guessed_latents(model, c.sound) for c in tqdm(clips, desc="guess", unit="clip")]
    seconds = [len(z) * geometry.STEP_SAMPLES / geometry.SAMPLE_RATE for z in latents]
    rows = []
    for rung in rungs:
        training = [rounded(z, model.gains[rung]) for z in fitting]
        tables = SymbolTables(training, max(int(np.abs(s).max()) for s in training))
        bits = []
        for z in tqdm(latents, desc=f"{model.rates[rung]} bit/s", unit="clip"):
            symbols = rounded(z, model.gains[rung])
            bits.append((*tables.bits(symbols), *learned_bits(model, symbols, rung)))
        rates = [estimate(column, seconds) for column in zip(*bits, strict=True)]
        for coder, rate in zip(CODERS, rates, strict=True):
            saved = 100.0 * (1.0 - rate.value / rates[0].value)
            rows.append(Row(model.rates[rung], coder, rate, saved))
    return rows


def render(rows: Sequence[Row]) -> str:
    """The table as text."""
    lines = [f"{'rung':>5}  {'entropy model':<29} {'bit/s':>8}  {'95 %':>6}  {'saved':>7}"]
    for row in rows:
        saved = f"{row.saved_percent:5.1f} %" if row.coder != CODERS[0] else ""
        lines.append(
            f"{row.bitrate:>5}  {row.coder:<29} {row.rate.value:>8.0f} ±{row.rate.margin:>6.0f}"
            f"  {saved:>7}".rstrip()
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        model = load_speech_model(options.model)
        rungs = [_rung(model, bitrate) for bitrate in options.bitrates or model.rates]
        clips = load_clips(options.folder, options.clips)
        fit = load_clips(options.fit, options.fit_clips)
    except (StreamcodecError, ValueError, OSError) as error:
        print(f"entropy_coding: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    rows = measure(model, clips, fit, rungs)
    print(render(rows))
    minutes = sum(c.seconds for c in clips) / 60.0
    print(
        f"\nSymbols of E alone, rounded; {len(clips)} recordings, {minutes:.1f} min. Tables fitted "
        f"on {len(fit)} other recordings, {sum(c.seconds for c in fit) / 60.0:.1f} min."
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"model": model.name, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


def _rung(model: SpeechModel, bitrate: int) -> int:
    if bitrate not in model.rates:
        raise ValueError(f"expected rungs out of {model.rates} bit/s, found {bitrate}")
    return model.rates.index(bitrate)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.entropy_coding", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="recordings to rate")
    parser.add_argument("--fit", type=Path, required=True, help="recordings to fit the tables to")
    parser.add_argument("--bitrates", type=int, nargs="+", help="rungs, bit/s (default: all)")
    parser.add_argument("--clips", type=int, help="rate so many recordings, evenly spread")
    parser.add_argument(
        "--fit-clips", type=int, default=FIT_CLIPS,
        help=f"fit to so many recordings, evenly spread (default {FIT_CLIPS})",
    )  # fmt: skip
    parser.add_argument("--model", help="name or folder of a model")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
