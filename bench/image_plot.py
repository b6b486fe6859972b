"""Rate-distortion curves as a picture: one panel a quality measure, one line a codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.image_table import QUALITIES, curves, decibels
from bench.own_codec import OWN
from bench.table import Row

PEER_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F")
"""Okabe and Ito 2008, told apart by readers of any colour vision; yellow, too faint for a line
on white, is darkened. Markers tell the same a second time."""

PEER_MARKERS = ("s", "^", "D", "v", "P", "X", "h")
OWN_DASHES = ("-", "--", ":", "-.")
OWN_MARKERS = ("o", "*", "p", "8")
INCHES = (11.0, 8.5)
DPI = 150


def draw(tables: dict[float, list[Row]], path: Path, subtitle: str) -> None:
    """Draw all curves into a PNG file.

    Parameters
    ----------
    tables : dict
        Rows by rate, as ``image_table.rows_by_rate`` gives them.
    path : Path
        Where the PNG file goes.
    subtitle : str
        What was measured, and how.
    """
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, sharex=True).ravel()
    styles = _styles(list(dict.fromkeys(row.codec for rows in tables.values() for row in rows)))
    for axis, (quality, title) in zip(axes, QUALITIES.items(), strict=True):
        for codec, points in curves(tables, quality).items():
            axis.plot(
                [bpp for bpp, _ in points],
                [decibels(quality, value) for _, value in points],
                **styles[codec],
            )
        axis.set_title(title, loc="left", fontweight="bold", fontsize=11)
        axis.set_xscale("log")
        axis.set_xticks(list(tables))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        in_decibels = "dB" if quality.startswith("psnr") else "−10 log₁₀(1 − MS-SSIM), dB"
        axis.set_ylabel(in_decibels)
        axis.grid(color="#d9d9d9", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[2:]:
        axis.set_xlabel("bits per pixel")
    handles = [Line2D([], [], label=codec, **style) for codec, style in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(f"Rate and distortion · {subtitle}", x=0.01, ha="left", fontsize=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _styles(codecs: list[str]) -> dict[str, dict[str, Any]]:
    """Ours in black and heavy, peers in colours."""
    styles: dict[str, dict[str, Any]] = {}
    own = [codec for codec in codecs if codec.startswith(OWN)]
    peers = [codec for codec in codecs if not codec.startswith(OWN)]
    for index, codec in enumerate(own):
        styles[codec] = {
            "color": "black",
            "linewidth": 2.4,
            "linestyle": OWN_DASHES[index % len(OWN_DASHES)],
            "marker": OWN_MARKERS[index % len(OWN_MARKERS)],
            "zorder": 3,
        }
    # Two tunings of one codec (avif, avif_psnr) share its colour; the second is dashed.
    families = list(dict.fromkeys(codec.partition("_")[0] for codec in peers))
    for codec in peers:
        family, _, tuning = codec.partition("_")
        index = families.index(family)
        styles[codec] = {
            "color": PEER_COLOURS[index % len(PEER_COLOURS)],
            "linewidth": 1.4,
            "linestyle": "--" if tuning else "-",
            "marker": PEER_MARKERS[index % len(PEER_MARKERS)],
            "markersize": 5,
            "markerfacecolor": "white" if tuning else PEER_COLOURS[index % len(PEER_COLOURS)],
        }
    return styles
