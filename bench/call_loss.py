"""Speech quality under packet loss: the same packets decoded with more and more of them missing.

Each clip is encoded once. Losses are random at several rates, and in bursts as in Gilbert's
two-state model (E. N. Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal
39, 1960; here nothing arrives in the bad state and everything in the good one). What is lost is
concealed by the decoder. Draws are seeded by clip, and at random loss a packet that is lost at
one rate is lost at every higher one, so that rates and settings are compared on equal terms.

With ``--repeat`` each packet is sent again together with the next one, as a call does while many
are lost; with ``--lookahead N`` the decoder knows the next N packets. Either costs as many packets
of delay.

    python -m bench.call_loss FOLDER [--low-delay] [--complexity 6] [--clips N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bench.clips import Clip, load_clips
from bench.metrics import Metric, Values, choose_metrics
from bench.own_codec import DEFAULT_BITRATE, StreamCodec
from bench.peers import Stopwatch
from bench.signals import align

SEED = 1960
LOSS_RATES = (0.05, 0.10, 0.20)
BURST_SECONDS = 0.2
"""Mean length of a burst, the same for packets of any length: two and a half of 80 ms."""

COMPLEXITY = 6
PACKET_SECONDS = 0.08
LOW_DELAY_PACKET_SECONDS = 0.04

METRICS = "pesq,stoi"
COLUMNS = {"pesq_wb": ("PESQ-WB", 2), "pesq_nb_raw": ("PESQ-NB raw", 2), "estoi": ("ESTOI", 3)}
"""Header and decimals of the values shown."""

Losses = NDArray[np.bool_]
Draw = Callable[[np.random.Generator, int], Losses]


def random_loss(rate: float) -> Draw:
    """Each of ``count`` packets is lost by itself with probability ``rate``."""

    def draw(rng: np.random.Generator, count: int) -> Losses:
        return rng.random(count) < rate

    return draw


def gilbert_loss(rate: float, burst: float) -> Draw:
    """Bursts of ``burst`` packets on average (at least 1), ``rate`` of all packets in all."""
    recover = 1.0 / burst
    fail = recover * rate / (1.0 - rate)

    def draw(rng: np.random.Generator, count: int) -> Losses:
        lost = np.zeros(count, np.bool_)
        bad = rng.random() < rate
        for n, chance in enumerate(rng.random(count)):
            lost[n] = bad
            bad = chance >= recover if bad else chance < fail
        return lost

    return draw


def conditions(packet_seconds: float) -> dict[str, Draw]:
    """Every condition by its name, the lossless one first."""
    burst = max(1.0, BURST_SECONDS / packet_seconds)
    found = {"lossless": random_loss(0.0)}
    found |= {f"random {rate:.0%}": random_loss(rate) for rate in LOSS_RATES}
    found |= {f"bursts {rate:.0%}": gilbert_loss(rate, burst) for rate in LOSS_RATES}
    return found


@dataclass
class Row:
    """One condition.

    Attributes
    ----------
    condition : str
    lost : float
        Share of the packets.
    means : dict
        Mean over clips of each column.
    changes : dict
        Mean over clips of the difference to the lossless figure of the same clip.
    """

    condition: str
    lost: float
    means: Values
    changes: Values


@dataclass
class Figures:
    """What else is measured: payload rate and processor time per second of sound."""

    clips: int
    seconds: float
    kbit_s: float
    encode_rtf: float
    decode_rtf: float


def missing(lost: Losses, repeat: bool) -> Losses:
    """What never comes of the packets ``lost`` on their way: with ``repeat``, two in a row."""
    if not repeat:
        return lost
    # Nothing follows the last packet that could bring it again.
    return lost & np.append(lost[1:], True)


def measure(
    clips: Sequence[Clip],
    codec: StreamCodec,
    draws: dict[str, Draw],
    metrics: Sequence[Metric],
    *,
    repeat: bool = False,
    lookahead: int = 0,
) -> tuple[list[Row], Figures]:
    """Encode each clip, decode it under every condition; shows progress on the error stream.

    Parameters
    ----------
    clips : sequence of Clip
    codec : StreamCodec
    draws : dict
        What is lost, by the name of the condition; the first is what others are compared with.
    metrics : sequence of Metric
    repeat : bool
        Each packet is sent again with the next one.
    lookahead : int
        Packets behind a gap that the decoder knows.
    """
    scores: dict[str, list[Values]] = {name: [] for name in draws}
    lost = dict.fromkeys(draws, 0)
    bits = packets = 0
    encoding, decoding = Stopwatch(), Stopwatch()
    for metric in metrics:
        metric.prepare()
    for clip in tqdm(clips, unit="clip"):
        with encoding:
            encoded = codec.encode(clip.sound)
        bits += sum(packet.bits for packet in encoded)
        packets += len(encoded)
        for name, draw in draws.items():
            gone = draw(np.random.default_rng([SEED, int(clip.identity, 16)]), len(encoded))
            lost[name] += int(gone.sum())
            gone = missing(gone, repeat)
            wire = [None if g else bytes(p) for p, g in zip(encoded, gone, strict=True)]
            with decoding:
                sound = codec.decode(wire, lookahead)
            sound = align(sound, clip.sound)
            values: Values = {}
            for metric in metrics:
                values |= metric.score(clip, sound)
            scores[name].append(values)
    clean = scores[next(iter(draws))]
    rows = [
        Row(
            name,
            lost[name] / packets,
            {key: _mean(value[key] for value in own) for key in COLUMNS},
            {
                key: _mean(v[key] - c[key] for v, c in zip(own, clean, strict=True))
                for key in COLUMNS
            },
        )
        for name, own in scores.items()
    ]
    seconds = sum(clip.seconds for clip in clips)
    return rows, Figures(
        len(clips), seconds, 1e-3 * bits * (1 + repeat) / seconds, encoding.seconds / seconds,
        decoding.seconds / seconds / len(draws),
    )  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    """Mean of those that could be scored."""
    found = [value for value in values if math.isfinite(value)]
    return float(np.mean(found)) if found else math.nan


def render(rows: Sequence[Row]) -> str:
    """The table as text."""
    lines = [f"{'loss':<12}{'lost':>7}" + "".join(f"{h:>13}{'':>9}" for h, _ in COLUMNS.values())]
    for row in rows:
        cells = [
            f"{row.means[key]:>13.{digits}f}{f'({row.changes[key]:+.{digits}f})':>9}"
            for key, (_, digits) in COLUMNS.items()
        ]
        lines.append(f"{row.condition:<12}{row.lost:>7.1%}" + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def caption(options: argparse.Namespace, packet_seconds: float, figures: Figures) -> str:
    """What a reader must know to read the table."""
    return (
        f"{figures.clips} clips, {figures.seconds / 60:.1f} min, {figures.kbit_s:.2f} kbit/s; "
        f"{1e3 * packet_seconds:.0f} ms packets{', each sent twice' * options.repeat}; lookahead "
        f"{options.lookahead}, complexity {options.complexity}, refresh every {options.refresh}.\n"
        "In brackets: change from lossless. Processor seconds for a second of sound: encoding "
        f"{figures.encode_rtf:.3f}, decoding {figures.decode_rtf:.3f}."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    settings = {
        "complexity": options.complexity,
        "low_delay": options.low_delay,
        "refresh": options.refresh,
    }
    codec = StreamCodec(options.bitrate, settings, {})
    metrics = choose_metrics(METRICS)
    reasons = [codec.available(), *(metric.available() for metric in metrics)]
    try:
        if reason := next(filter(None, reasons), None):
            raise FileNotFoundError(reason)
        clips = load_clips(options.folder, options.clips)
    except OSError as error:
        print(f"call_loss: {error}", file=sys.stderr)
        return 2
    packet_seconds = LOW_DELAY_PACKET_SECONDS if options.low_delay else PACKET_SECONDS
    rows, figures = measure(
        clips, codec, conditions(packet_seconds), metrics,
        repeat=options.repeat, lookahead=options.lookahead,
    )  # fmt: skip
    print(render(rows))
    print(f"\n{caption(options, packet_seconds, figures)}")
    if options.json:
        document = {"bitrate": options.bitrate, **settings, **asdict(figures)}
        document |= {"repeat": options.repeat, "lookahead": options.lookahead}
        document["rows"] = [asdict(row) for row in rows]
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.call_loss", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="recordings")
    parser.add_argument("--bitrate", type=int, default=DEFAULT_BITRATE)
    parser.add_argument("--complexity", type=int, default=COMPLEXITY)
    parser.add_argument("--low-delay", action="store_true", help="40 ms packets")
    parser.add_argument("--clips", type=int, help="take so many, evenly spread")
    parser.add_argument("--refresh", type=int, default=1, help="packets between refresh packets")
    parser.add_argument("--repeat", action="store_true", help="send each packet twice")
    parser.add_argument("--lookahead", type=int, default=0, help="packets known behind a gap")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
