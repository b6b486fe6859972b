"""Curves of a training run as a picture: one panel a quantity, one colour a stage.

    python -m streamcodec_models.plot RUN [-o curves.png]

Every value is a pale point, their running mean a line with its last value written behind it.
Training draws the same picture into RUN/curves.png when a stage ends, and another of what it
measured on held-out speakers or pictures into RUN/held-out.png.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError
from streamcodec.safefile import replacing

Curve = dict[str, NDArray[np.float64]]
"""Values by column, NaN where a row has none; ``step`` and ``minute`` among them."""

TITLES = {
    "loss": "Loss that is minimized",
    "mel": "Mel L1 (normalized log-mel)",
    "spectral": "Multi-resolution spectral distance",
    "bps": "Rate of the 2 kbit/s rung, bit/s",
    "lambda": "Multiplier of the rate, 2 kbit/s rung",
    "judge": "Discriminators: hinge loss",
    "adv": "Generator: adversarial loss",
    "feat": "Generator: feature matching",
    "norm": "Gradient norm",
}
"""Panels in this order; columns that are not here follow under their own names."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C6D1F")
"""After Okabe and Ito (2008): told apart by readers of any colour vision."""

INK, FAINT = "#22313f", "#d9dee3"
PANEL_WIDTH, PANEL_HEIGHT = 4.2, 2.5
"""Inches."""

COLUMNS = 3
DPI = 130
SMOOTHING = 0.04
"""Half-width of the running mean, as a share of the points."""


def read_curve(path: Path) -> Curve:
    """Read a curve that training has written.

    Where its columns change during a run (the adversary begins, say), the file has a new
    heading line. Rows that do not fit their heading are passed over.

    Raises
    ------
    InputError
        The file holds no row of numbers under a heading with ``step`` and ``minute``.
    """
    heading: list[str] = []
    rows: list[dict[str, float]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if cells[0] == "step":
            heading = cells
        elif len(cells) == len(heading):
            try:
                rows.append({k: float(v) for k, v in zip(heading, cells, strict=True)})
            except ValueError:  # training was stopped inside this line
                continue
    names = dict.fromkeys(name for row in rows for name in row)
    if not {"step", "minute"} <= names.keys():
        raise InputError(f"{path} is no training curve: expected columns step, minute and others")
    return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}


def read_run(run: Path, kind: str = "curve") -> dict[str, Curve]:
    """Curves of a run folder by stage, in the order in which they were begun.

    ``kind`` is "curve" for what was trained on, "held-out" for what was not.

    Raises
    ------
    FileNotFoundError
        The folder has none.
    """
    paths = sorted(run.glob(f"{kind}-*.tsv"), key=lambda path: path.stat().st_mtime)
    if not paths:
        raise FileNotFoundError(f"no curves ({kind}-*.tsv) in {run}; name the folder of a run")
    return {path.stem.removeprefix(f"{kind}-"): read_curve(path) for path in paths}


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over a window around each point, which shrinks at the ends."""
    reach = max(1, round(SMOOTHING * len(values)))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def draw(curves: dict[str, Curve], path: Path, title: str) -> None:
    """Draw the curves of a run into a PNG file; needs matplotlib.

    Parameters
    ----------
    curves : dict
        By stage.
    path : Path
        Replaced if it exists.
    title : str
        Name of the run.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    found = {name for curve in curves.values() for name in curve} - {"step", "minute"}
    panels = [name for name in TITLES if name in found] + sorted(found - TITLES.keys())
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    size = (PANEL_WIDTH * columns, PANEL_HEIGHT * lines + 0.9)
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, name in zip(axes, panels, strict=False):
        _draw_panel(axis, name, curves)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    steps = ", ".join(f"{stage}: {curve['step'][-1]:,.0f} steps" for stage, curve in curves.items())
    figure.suptitle(f"{title} · {steps}", x=0.01, ha="left", fontsize=12, color=INK)
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], linewidth=2, label=stage)
        for i, stage in enumerate(curves)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    with replacing(path) as part:
        figure.savefig(part, dpi=DPI, format="png")


def _draw_panel(axis: Any, name: str, curves: dict[str, Curve]) -> None:
    """One quantity of all stages that have it, over minutes of training."""
    for index, curve in enumerate(curves.values()):
        # A rung that no crop of a batch drew has no rate there; the adversary begins later.
        known = np.isfinite(curve.get(name, np.zeros(0)))
        if not known.any():
            continue
        colour = COLOURS[index % len(COLOURS)]
        minutes, values = curve["minute"][known], curve[name][known]
        smooth = running_mean(values)
        axis.plot(minutes, values, ".", color=colour, alpha=0.25, markersize=3, zorder=2)
        # A stage that was begun anew writes on in the same file: no line back to its start.
        gaps = np.flatnonzero(np.diff(minutes) < 0) + 1
        axis.plot(
            np.insert(minutes, gaps, math.nan),
            np.insert(smooth, gaps, math.nan),
            color=colour,
            linewidth=1.8,
            zorder=3,
        )
        axis.annotate(
            f"{smooth[-1]:.4g}",
            (minutes[-1], smooth[-1]),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
        )
    axis.set_title(TITLES.get(name, name), loc="left", fontsize=10, fontweight="bold", color=INK)
    axis.set_xlabel("minutes", fontsize=8, color=INK)
    axis.tick_params(labelsize=8, colors=INK)
    axis.grid(color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.margins(x=0.02)
    axis.spines[["top", "right"]].set_visible(False)


def draw_if_possible(run: Path) -> Path | None:
    """Draw a run into its folder if matplotlib is installed and there is anything to draw."""
    if importlib.util.find_spec("matplotlib") is None or not any(run.glob("curve-*.tsv")):
        return None
    path = run / "curves.png"
    draw(read_run(run), path, run.name)
    if any(run.glob("held-out-*.tsv")):
        draw(read_run(run, "held-out"), run / "held-out.png", f"{run.name}, held out")
    return path


def main() -> None:
    """Draw the run that the command line names."""
    parser = argparse.ArgumentParser(description="draw the curves of a training run")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument(
        "--kind", choices=("curve", "held-out"), default="curve",
        help="what was trained on (default), or what was measured on held-out data",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, help="PNG file (default RUN/curves.png)")
    args = parser.parse_args()
    path = args.output or args.run / "curves.png"
    try:
        draw(read_run(args.run, args.kind), path, args.run.resolve().name)
    except ImportError as error:
        raise SystemExit("plot: matplotlib is missing: pip install matplotlib") from error
    except (InputError, OSError) as error:
        raise SystemExit(f"plot: {error}") from error
    print(f"drawn: {path}")


if __name__ == "__main__":
    main()
