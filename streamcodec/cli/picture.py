"""The picture that ``streamcodec inspect`` draws. Matplotlib is imported when it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamcodec.errors import InputError

if TYPE_CHECKING:
    from streamcodec.inspection import StreamView

FORMATS = (".png", ".pdf", ".svg")
"""Suffixes of pictures that can be drawn."""

DYNAMIC_RANGE = 75.0
"""Decibels below the loudest point that the spectrograms show."""

SYMBOL_PERCENTILE = 99.5
"""Part of the symbols that lies inside the colour scale: single outliers would bleach the rest."""

SYMBOL_LINEAR = 1.0
"""Symbols up to this are coloured in proportion, larger ones by their logarithm: a few channels
hold large numbers, most of them -1, 0 and 1, and all are to be seen."""

SYMBOL_TICKS = (0, 1, 3, 10, 30, 100)

AVERAGING_SECONDS = 0.5
"""Window of the rate curve: the time over which rate control holds the average."""

FREQUENCY_TICKS = (250, 500, 1000, 2000, 4000, 7000)
"""Hertz."""

INK, FAINT, PAPER = "#22313f", "#8a97a3", "#ffffff"
BITS, REFRESH, RATE = "#9bb8d3", "#3b6fa0", "#d1495b"
"""Colours: packets, packets at which a decoder can start, running average."""

WIDTH, MEL_HEIGHT, SYMBOL_HEIGHT, BITS_HEIGHT = 12.0, 2.4, 2.2, 1.7
"""Inches."""

DPI = 130


def require_format(path: Path) -> None:
    """Check that a picture can be drawn under this name.

    Raises
    ------
    InputError
        The suffix is unknown, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"cannot draw {path}: expected a name ending in {', '.join(FORMATS)}, "
            f"found {path.suffix or 'no suffix'}"
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InputError(
            "pictures need matplotlib, which is not installed; "
            "install it with: pip install 'streamcodec[inspect]'"
        ) from error


def draw(view: StreamView, path: Path, suffix: str) -> None:
    """Draw a stream: spectrograms, latent symbols and bits, one below the other.

    Parameters
    ----------
    view : StreamView
    path : Path
        File to write.
    suffix : str
        One of `FORMATS`; the format to write, whatever the name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pictures = [("decoded", view.decoded)]
    if view.original is not None:
        pictures.insert(0, ("original", view.original))
    heights = [MEL_HEIGHT] * len(pictures) + [SYMBOL_HEIGHT, BITS_HEIGHT]
    figure = Figure(figsize=(WIDTH, sum(heights) + 1.0), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    figure.suptitle(_title(view), color=INK, fontsize=13, x=0.01, ha="left")

    # One scale for both, so that a lost decibel can be seen.
    loudest = max(float(mel.max(initial=-DYNAMIC_RANGE)) for _, mel in pictures)
    for axis, (name, mel) in zip(axes, pictures, strict=False):
        image = _draw_mel(axis, mel, view, loudest, name)
    figure.colorbar(image, ax=list(axes[: len(pictures)]), label="dB", pad=0.01, aspect=30)
    _draw_symbols(figure, axes[-2], view)
    _draw_bits(axes[-1], view)
    for axis in axes:
        _tidy(axis)
    axes[-1].set_xlim(view.start, view.start + view.seconds)
    axes[-1].set_xlabel("time (s)", color=INK)
    figure.savefig(path, format=suffix.removeprefix("."), dpi=DPI, facecolor=PAPER)


def _title(view: StreamView) -> str:
    return (
        f"{view.name}   ·   {view.kbps:.2f} kbit/s   ·   "
        f"{1000 * view.packet_seconds:g} ms packets   ·   {view.model}   ·   {view.vocoder} vocoder"
    )


def _draw_mel(axis: Any, mel: np.ndarray, view: StreamView, loudest: float, name: str) -> Any:
    image = axis.imshow(
        mel.T, origin="lower", aspect="auto", interpolation="nearest", cmap="magma",
        vmin=loudest - DYNAMIC_RANGE, vmax=loudest,
        extent=(view.start, view.start + max(1, len(mel)) * view.frame_seconds, 0, mel.shape[1]),
    )  # fmt: skip
    bands = np.interp(FREQUENCY_TICKS, view.band_frequencies, np.arange(mel.shape[1]) + 0.5)
    axis.set_yticks(bands, [f"{f / 1000:g}k" if f >= 1000 else str(f) for f in FREQUENCY_TICKS])
    axis.set_ylabel(f"{name} (Hz)", color=INK)
    return image


def _draw_symbols(figure: Any, axis: Any, view: StreamView) -> None:
    from matplotlib.colors import AsinhNorm

    sizes = np.abs(view.symbols)
    limit = max(1.0, float(np.percentile(sizes, SYMBOL_PERCENTILE)) if sizes.size else 1.0)
    order = np.argsort(sizes.mean(axis=0) if len(sizes) else np.zeros(sizes.shape[1]))
    image = axis.imshow(
        view.symbols[:, order].T, origin="lower", aspect="auto", interpolation="nearest",
        cmap="RdBu_r", norm=AsinhNorm(SYMBOL_LINEAR, vmin=-limit, vmax=limit),
        extent=(
            view.start, view.start + max(1, len(view.symbols)) * view.step_seconds,
            0, view.symbols.shape[1],
        ),
    )  # fmt: skip
    axis.set_ylabel("latent symbols\n(busiest on top)", color=INK)
    ticks = sorted({s * t for t in SYMBOL_TICKS if t <= limit for s in (-1, 1)})
    figure.colorbar(image, ax=axis, pad=0.01, aspect=14, ticks=ticks, format="%d")


def _draw_bits(axis: Any, view: StreamView) -> None:
    starts = view.start + np.arange(len(view.bits)) * view.packet_seconds
    kbps = view.bits / view.packet_seconds / 1000
    width = 0.9 * view.packet_seconds
    plain, fresh = ~view.refresh, view.refresh
    axis.bar(starts[plain], kbps[plain], width, align="edge", color=BITS, label="packet")
    axis.bar(starts[fresh], kbps[fresh], width, align="edge", color=REFRESH, label="seek point")
    window = max(1, round(AVERAGING_SECONDS / view.packet_seconds))
    if len(kbps) >= window:
        average = np.convolve(kbps, np.full(window, 1 / window), mode="valid")
        # The average over a window is known at the window's end.
        axis.plot(
            starts[window - 1 :] + view.packet_seconds, average,
            color=RATE, linewidth=1.6, label=f"average over {AVERAGING_SECONDS:g} s",
        )  # fmt: skip
    axis.axhline(view.kbps, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axis.set_ylabel("payload (kbit/s)", color=INK)
    axis.set_ylim(bottom=0)
    if len(kbps):
        axis.legend(
            ncols=3, frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.1, labelcolor=INK,
        )  # fmt: skip


def _tidy(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(FAINT)
    axis.tick_params(colors=INK, labelsize=8, length=3)
