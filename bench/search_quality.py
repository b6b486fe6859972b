"""What the latent search buys: quality against effort, against E alone, and on coarser lattices.

    python -m bench.search_quality FOLDER --clips 24 --plot search.png --json search.json

Three parts, all of them by default (``--parts``):

* ``effort``: every complexity, and numbers of gradient steps with and without settlement, each
  held to the same average rate by the rate controller.
* ``equal-rate``: the search at one complexity against E alone. Neither is rate-controlled; E's
  rate is moved by scaling its lattice, and compared at the search's rate and at its quality.
* ``lattice``: ADMM against rounding at the end, with and without settlement, and against no
  search, on lattices from four times as coarse as the rung's to half as coarse.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.clips import load_clips
from bench.runs import finite, one_thread
from bench.search_runs import Measured, SearchBench, mean_estimate, with_lattice
from bench.table import Estimate
from streamcodec.core.search import Budget
from streamcodec.errors import StreamcodecError
from streamcodec.speech.encoder import BUDGETS, SpeechEncoder
from streamcodec.speech.model import load_speech_model
from streamcodec.speech.rate import FixedPrice

PARTS = ("effort", "equal-rate", "lattice")
DEFAULT_COMPLEXITY = 6

ITERATIONS = (0, 2, 4, 8, 16, 32)
"""Gradient steps of the explicit budgets."""

SETTLEMENT = Budget(0, 32, rounds=2)
"""The settlement that follows them, or does not."""

LATTICE_STEPS = (4.0, 2.0, 1.0, 0.5)
"""Lattices of the quantization figure, in steps of the rung's own."""

LATTICE_ITERATIONS = 16
"""Enough for ADMM to come close to the lattice by itself."""

GUESS_STEPS = (1.3, 1.15, 1.0, 0.88, 0.77)
"""Lattices of E alone at equal rate: about 15 % of the rate apart."""

_SETTLED = Budget(LATTICE_ITERATIONS, SETTLEMENT.candidates, SETTLEMENT.rounds)
METHODS = {
    "E alone": ("uniform", Budget(0)),
    "uniform": ("uniform", Budget(LATTICE_ITERATIONS)),
    "ADMM": ("admm", Budget(LATTICE_ITERATIONS)),
    "uniform, settled": ("uniform", _SETTLED),
    "ADMM, settled": ("admm", _SETTLED),
}
"""Quantizers of the figure: name in the encoder, and budget."""


def effort(bench: SearchBench, bitrate: int) -> list[Measured]:
    """Every complexity, then explicit budgets, at one average rate."""
    settings: list[tuple[str, str, float, int | Budget]] = [
        (f"complexity {c}", "complexity", c, c) for c in range(len(BUDGETS))
    ]
    settings += [(f"{k} steps", "gradient steps", k, Budget(k)) for k in ITERATIONS]
    settings += [
        (
            f"{k} steps, settled",
            "gradient steps, settled",
            k,
            Budget(k, SETTLEMENT.candidates, SETTLEMENT.rounds),
        )
        for k in ITERATIONS
    ]
    return [
        bench.measure(
            name, group, position, SpeechEncoder(bitrate, complexity=budget, model=bench.model)
        )
        for name, group, position, budget in settings
    ]


def lattice(bench: SearchBench, rung: int) -> list[Measured]:
    """Each quantizer on each lattice, at the ladder's price."""
    found = []
    for method, (quantizer, budget) in METHODS.items():
        for step in LATTICE_STEPS:
            model, at = with_lattice(bench.model, rung, step)
            encoder = SpeechEncoder(
                complexity=budget, quantizer=quantizer, model=model, control=FixedPrice(at)
            )
            name = f"step x {step:g}, {method}"
            found.append(bench.measure(name, method, step, encoder))
    return found


def equal_rate(bench: SearchBench, rung: int, complexity: int) -> list[Measured]:
    """The search at one complexity, then E alone on lattices around the rung's."""
    search = SpeechEncoder(complexity=complexity, model=bench.model, control=FixedPrice(rung))
    found = [bench.measure(f"search, complexity {complexity}", "search", 1.0, search)]
    for step in GUESS_STEPS:
        model, at = with_lattice(bench.model, rung, step)
        encoder = SpeechEncoder(complexity=0, model=model, control=FixedPrice(at))
        found.append(bench.measure(f"E alone, step x {step:g}", "E alone", step, encoder))
    return found


def against_guess(found: Sequence[Measured]) -> list[str]:
    """Both views of the search against E alone: at equal bits, and at equal PESQ."""
    search = next(m for m in found if m.group == "search")
    guesses = [m for m in found if m.group == "E alone"]
    lines = [f"search at {search.kbps:.3f} kbit/s, against E alone:"]
    for key, title, digits in (
        ("pesq_nb_raw", "PESQ-NB raw", 3),
        ("pesq_wb", "PESQ-WB", 3),
        ("distance", "distance", 5),
    ):
        gain = gain_at_equal_bits(search, guesses, key)
        rate = rate_at_equal_quality(search, guesses, key)
        lines.append(
            f"  {title:<12} {search.mean(key):.{digits}f}: at equal bits {gain.value:+.{digits}f} "
            f"(95 %: {gain.low:+.{digits}f} to {gain.high:+.{digits}f}); as much takes E alone "
            f"{rate:.3f} kbit/s, {100.0 * (1.0 - search.kbps / rate):.1f} % of the bits are saved"
        )
    return lines


def gain_at_equal_bits(search: Measured, guesses: Sequence[Measured], key: str) -> Estimate:
    """What the search adds to a value over E alone at its rate, with its interval.

    E's value there lies on the line through all of its settings, over the logarithm of the rate:
    phases found anew move PESQ of a single clip by a tenth from one setting to the next. Every
    recording has its own line over the same rates, so that differences are paired.
    """
    slope, level = _line(guesses, np.array([m.column(key) for m in guesses]))
    differences = search.column(key) - (level + slope * np.log(search.kbps))
    return mean_estimate(differences)


def rate_at_equal_quality(search: Measured, guesses: Sequence[Measured], key: str) -> float:
    """Rate in kbit/s at which E alone reaches the search's mean, on the line of its settings."""
    slope, level = _line(guesses, np.array([[m.mean(key)] for m in guesses]))
    return float(np.exp((search.mean(key) - level[0]) / slope[0]))


def _line(
    guesses: Sequence[Measured], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and level over the logarithm of the rate, for each column of ``values``."""
    slope, level = np.polyfit(np.log([m.kbps for m in guesses]), values, 1)
    return slope, level


def render(found: Sequence[Measured]) -> str:
    """The table as text."""
    width = max(len(m.name) for m in found)
    head = f"{'setting':<{width}}  kbit/s  entropy  distance  PESQ-NB raw  PESQ-WB  ms/packet"
    lines = [head]
    for m in found:
        lines.append(
            f"{m.name:<{width}}  {m.kbps:6.3f}  {m.entropy / 1000.0:7.3f}  "
            f"{m.mean('distance'):8.5f}  {_with_margin(m, 'pesq_nb_raw'):>11}  "
            f"{m.mean('pesq_wb'):7.3f}  {m.milliseconds:9.1f}"
        )
    return "\n".join(lines)


def _with_margin(measured: Measured, key: str) -> str:
    figure = measured.interval(key)
    return f"{figure.value:.3f}±{figure.margin:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        model = load_speech_model(options.model)
        if options.bitrate not in model.rates:
            raise ValueError(f"expected a rung out of {model.rates}, found {options.bitrate}")
        if options.plot and not {"effort", "lattice"} <= set(options.parts):
            raise ValueError(
                "--plot draws the parts effort and lattice; ask for both, or measure each into a "
                "file of its own (--json) and draw them with bench.search_plot"
            )
        clips = load_clips(options.folder, options.clips)
    except (StreamcodecError, ValueError, OSError) as error:
        print(f"search_quality: {error}", file=sys.stderr)
        return 2
    rung = model.rates.index(options.bitrate)
    bench = SearchBench(model, clips)
    parts: dict[str, list[Measured]] = {}
    for part in options.parts:
        if part == "effort":
            parts[part] = effort(bench, options.bitrate)
        elif part == "equal-rate":
            parts[part] = equal_rate(bench, rung, options.complexity)
        else:
            parts[part] = lattice(bench, rung)
    bench.close()
    for part, found in parts.items():
        print(f"\n{part}\n{render(found)}")
        if part == "equal-rate":
            print("\n".join(against_guess(found)))
    caption = (
        f"{len(clips)} recordings, {sum(c.seconds for c in clips) / 60.0:.1f} min, "
        f"{options.bitrate} bit/s rung of {model.name}"
    )
    print(f"\n{caption}. ms: processor time.")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            part: [m.summary() for m in found] for part, found in parts.items()
        }
        document["caption"] = caption
        options.json.write_text(json.dumps(finite(document), indent=1), encoding="utf-8")
    if options.plot:
        from bench.search_plot import draw

        draw(parts["effort"], parts["lattice"], options.plot, caption)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.search_quality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="recordings")
    parser.add_argument("--clips", type=int, help="take so many, evenly spread")
    parser.add_argument("--bitrate", type=int, default=2000, help="rung, bit/s (default 2000)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--complexity", type=int, choices=range(1, len(BUDGETS)), default=DEFAULT_COMPLEXITY,
        help=f"of the search at equal rate (default {DEFAULT_COMPLEXITY})",
    )  # fmt: skip
    parser.add_argument("--model", help="name or folder of a model")
    parser.add_argument("--json", type=Path, help="write all figures, every recording's too")
    parser.add_argument("--plot", type=Path, help="draw a PNG; needs matplotlib")
    return parser


if __name__ == "__main__":
    one_thread()
    sys.exit(main())
