"""Results of clips become rows, and rows become a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.measure import ClipResult

BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_SEED = 2020
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Column:
    """One column: a ratio of sums over clips.

    Attributes
    ----------
    key : str
        Name in the JSON output.
    header : str
        Name in the table.
    digits : int
        Decimals shown.
    numerator : str
        What is summed.
    denominator : str
        What it is divided by; empty for the number of clips, which makes it a plain mean.
    scale : float
        Factor of the ratio.
    interval : bool
        Whether the confidence interval is shown.
    """

    key: str
    header: str
    digits: int
    numerator: str
    denominator: str = ""
    scale: float = 1.0
    interval: bool = True


COLUMNS = (
    Column("kbps", "kbit/s", 2, "bits", "seconds", 1e-3, interval=False),
    Column("pesq_nb_raw", "PESQ-NB raw", 2, "pesq_nb_raw"),
    Column("pesq_nb_lqo", "PESQ-NB LQO", 2, "pesq_nb_lqo"),
    Column("pesq_wb", "PESQ-WB", 2, "pesq_wb"),
    Column("stoi", "STOI", 3, "stoi"),
    Column("estoi", "ESTOI", 3, "estoi"),
    Column("visqol", "ViSQOL", 2, "visqol"),
    Column("distillmos", "DistillMOS", 2, "distillmos"),
    Column("dnsmos_ovrl", "DNSMOS ovrl", 2, "dnsmos_ovrl"),
    Column("mcd", "MCD dB", 2, "mcd"),
    Column("speaker_similarity", "spk sim", 3, "speaker_similarity"),
    Column("per", "PER %", 1, "phone_errors", "reference_phones", 100.0),
    Column("encode_rtf", "enc RTF", 3, "encode_seconds", "seconds", interval=False),
    Column("decode_rtf", "dec RTF", 3, "decode_seconds", "seconds", interval=False),
)


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval and the number of clips behind it."""

    value: float
    low: float
    high: float
    clips: int

    @property
    def margin(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2.0


@dataclass(frozen=True)
class Row:
    """One codec: its estimates by column key, and on how many clips it failed."""

    codec: str
    estimates: dict[str, Estimate]
    clips: int
    failures: int


def estimate(numerators: ArrayLike, denominators: ArrayLike, scale: float = 1.0) -> Estimate:
    """Ratio of sums with its 95 % percentile-bootstrap interval over clips.

    Parameters
    ----------
    numerators, denominators : array_like, shape (n,)
        One value a clip; n >= 1.
    scale : float
        Factor of the ratio.
    """
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    draws = np.random.default_rng(BOOTSTRAP_SEED).integers(
        len(top), size=(BOOTSTRAP_DRAWS, len(top))
    )
    ratios = scale * top[draws].sum(axis=1) / bottom[draws].sum(axis=1)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    return Estimate(float(scale * top.sum() / bottom.sum()), float(low), float(high), len(top))


def summarise(
    results: Sequence[ClipResult], columns: Sequence[Column] = COLUMNS, order: str = "kbps"
) -> list[Row]:
    """One row a codec, by rising ``order``; columns that nothing was measured for are left out."""
    names = dict.fromkeys(result.codec for result in results)
    rows = [_row(name, [r for r in results if r.codec == name], columns) for name in names]
    return sorted(rows, key=lambda row: row.estimates[order].value if row.estimates else math.inf)


def _row(name: str, results: list[ClipResult], columns: Sequence[Column]) -> Row:
    done = [result for result in results if not result.failed]
    estimates = {}
    for column in columns:
        tops = np.array([_value(result, column.numerator) for result in done])
        bottoms = np.array([_value(result, column.denominator) for result in done])
        scored = np.isfinite(tops)
        if scored.any():
            estimates[column.key] = estimate(tops[scored], bottoms[scored], column.scale)
    return Row(name, estimates, len(results), len(results) - len(done))


def _value(result: ClipResult, key: str) -> float:
    if not key:
        return 1.0
    if key in {"bits", "seconds", "encode_seconds", "decode_seconds"}:
        return float(getattr(result, key))
    return result.values.get(key, math.nan)


def render(
    rows: Sequence[Row],
    markdown: bool = False,
    intervals: bool = True,
    columns: Sequence[Column] = COLUMNS,
) -> str:
    """The table as text.

    Parameters
    ----------
    rows : sequence of Row
        In the order to show.
    markdown : bool
        With bars, for a document; otherwise columns are set apart by spaces.
    intervals : bool
        Append half the 95 % interval to each figure.
    columns : sequence of Column
        Those that may be shown.
    """
    columns = [c for c in columns if any(c.key in row.estimates for row in rows)]
    lines = [["codec", *(column.header for column in columns)]]
    for row in rows:
        cells = [_cell(row.estimates.get(c.key), c, intervals) for c in columns]
        lines.append([row.codec, *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    ]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in padded)
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _cell(figure: Estimate | None, column: Column, intervals: bool) -> str:
    if figure is None:
        return "–"
    text = f"{figure.value:.{column.digits}f}"
    if intervals and column.interval and figure.clips > 1:
        text += f"±{figure.margin:.{column.digits}f}"
    return text
