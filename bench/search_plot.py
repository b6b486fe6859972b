"""The search's figure: what effort buys, and quantizers on coarser and finer lattices.

    python -m bench.search_plot SEARCH.json... FIGURE.png

draws what ``bench.search_quality --json`` has measured; parts may be in files of their own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.search_runs import Measured, mean_estimate
from bench.table import Estimate

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Okabe and Ito 2008: told apart by readers of any colour vision. Markers and dashes tell the
same a second time."""

MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-", "--", "-")
INCHES = (15.0, 5.2)
DPI = 120

LABELLED = 3
"""Lines of a panel whose points bear their position, at most: more would hide each other."""

Point = tuple[float, Estimate]
"""A point's place on the x axis, and its value."""


def draw(effort: Sequence[Measured], lattice: Sequence[Measured], path: Path, caption: str) -> None:
    """Draw all panels into a PNG file.

    Parameters
    ----------
    effort, lattice : sequence of Measured
        What ``search_quality`` measured for the parts of these names; the first of ``effort`` is
        E alone.
    path : Path
        Where the PNG file goes.
    caption : str
        What was measured, and on what.
    """
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    closeness, quality, quantizers = figure.subplots(1, 3)
    guess = effort[0]

    def closed(m: Measured) -> Point:
        part = m.column("distance") / guess.column("distance") - 1.0
        return m.milliseconds, mean_estimate(100.0 * part)

    def gained(m: Measured) -> Point:
        gain = m.column("pesq_nb_raw") - guess.column("pesq_nb_raw")
        return m.milliseconds, mean_estimate(gain)

    _lines(closeness, effort, closed, "{:g}")
    closeness.set_title("Distance against effort", loc="left", fontweight="bold")
    closeness.set_ylabel("distance over that of E alone, %")
    _lines(quality, effort, gained, "{:g}")
    quality.set_title("PESQ against effort, equal average rate", loc="left", fontweight="bold")
    quality.set_ylabel("PESQ-NB raw over E alone (same recordings, 95 %)")
    for axis in (closeness, quality):
        axis.set_xlabel("processor time of encoding, ms a packet (labels: complexity, or steps)")
        axis.axhline(0.0, color="#999999", linewidth=0.8)
    _lines(quantizers, lattice, lambda m: (m.kbps, m.interval("pesq_nb_raw")), "×{:g}")
    quantizers.set_title("Quantizers, lattices of 4 to 0.5 steps", loc="left", fontweight="bold")
    quantizers.set_xlabel("payload, kbit/s")
    quantizers.set_ylabel("PESQ-NB, raw P.862 score")
    for axis, corner in ((closeness, "lower left"), (quality, "lower left"), (quantizers, "best")):
        _dress(axis)
        axis.legend(frameon=False, loc=corner)
    figure.suptitle(f"Latent search · {caption}", x=0.01, ha="left", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _dress(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(color="#d9d9d9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _lines(
    axis: Axes, found: Sequence[Measured], point: Callable[[Measured], Point], label: str
) -> None:
    """One line a group, each point with its interval and labelled with its position."""
    groups = list(dict.fromkeys(m.group for m in found))
    for index, group in enumerate(groups):
        own = [m for m in found if m.group == group]
        places, values = zip(*(point(m) for m in own), strict=True)
        middle = np.array([v.value for v in values])
        margins = np.array([[v.value - v.low, v.high - v.value] for v in values]).T
        colour = COLOURS[index % len(COLOURS)]
        axis.errorbar(
            places, middle, margins.clip(min=0.0), label=group, color=colour,
            marker=MARKERS[index % len(MARKERS)], linestyle=DASHES[index % len(DASHES)],
            markersize=5, linewidth=1.6, elinewidth=0.6, capsize=0,
        )  # fmt: skip
        if len(groups) > LABELLED and index:
            continue
        # Labels of neighbouring lines go to different sides.
        offset = (4, 5) if index % 2 == 0 else (4, -12)
        for x, y, m in zip(places, middle, own, strict=True):
            axis.annotate(
                label.format(m.position), (x, y), offset, textcoords="offset points",
                fontsize=7, color=colour,
            )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what was measured; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bench.search_plot", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("results", type=Path, nargs="+", help="files of bench.search_quality")
    parser.add_argument("figure", type=Path, help="PNG file to draw")
    options = parser.parse_args(arguments)
    try:
        documents = [json.loads(path.read_text(encoding="utf-8")) for path in options.results]
        parts = {name: part for document in documents for name, part in document.items()}
        effort, lattice = (
            [Measured.from_summary(entry) for entry in parts[name]]
            for name in ("effort", "lattice")
        )
        draw(effort, lattice, options.figure, parts["caption"])
    except (OSError, ValueError) as error:
        print(f"search_plot: {error}", file=sys.stderr)
        return 2
    except KeyError as error:
        print(f"search_plot: the files hold no {error}; measure it first", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
