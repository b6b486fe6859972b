"""The search's figure: quality against effort, and quantizers against rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.search_runs import Measured

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Okabe and Ito 2008: told apart by readers of any colour vision. Markers and dashes tell the
same a second time."""

MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-", "--", "-")
INCHES = (12.0, 5.4)
DPI = 150


def draw(effort: Sequence[Measured], lattice: Sequence[Measured], path: Path, caption: str) -> None:
    """Draw both panels into a PNG file.

    Parameters
    ----------
    effort, lattice : sequence of Measured
        What ``search_quality`` measured for the parts of these names.
    path : Path
        Where the PNG file goes.
    caption : str
        What was measured, and on what.
    """
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _lines(left, effort, [m.milliseconds for m in effort], "{:g}")
    left.set_title("Quality against effort, equal average rate", loc="left", fontweight="bold")
    left.set_xlabel("processor time of encoding, ms a packet (labels: complexity, or steps)")
    _lines(right, lattice, [m.entropy / 1000.0 for m in lattice], "×{:g}")
    right.set_title("Quantizers on coarser and finer lattices", loc="left", fontweight="bold")
    right.set_xlabel("entropy of the symbols, kbit/s (labels: lattice step)")
    for axis in (left, right):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_ylabel("PESQ-NB, raw P.862 score")
        axis.grid(color="#d9d9d9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="lower right")
    figure.suptitle(f"Latent search · {caption}", x=0.01, ha="left", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _lines(axis: Axes, found: Sequence[Measured], across: Sequence[float], label: str) -> None:
    """One line a group, each point labelled with its position."""
    placed = list(zip(found, across, strict=True))
    for index, group in enumerate(dict.fromkeys(m.group for m in found)):
        points = [(x, m.mean("pesq_nb_raw"), m.position) for m, x in placed if m.group == group]
        colour = COLOURS[index % len(COLOURS)]
        axis.plot(
            [x for x, _, _ in points], [y for _, y, _ in points], label=group, color=colour,
            marker=MARKERS[index % len(MARKERS)], linestyle=DASHES[index % len(DASHES)],
            markersize=5, linewidth=1.6,
        )  # fmt: skip
        # Labels of neighbouring lines go to different sides.
        offset = (0, 6) if index % 2 == 0 else (0, -13)
        for x, y, position in points:
            axis.annotate(
                label.format(position), (x, y), offset, textcoords="offset points",
                ha="center", fontsize=7, color=colour,
            )  # fmt: skip
