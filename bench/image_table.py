"""From results of the image bench to tables: one a rate, and delta rates over all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.bd_rate import MIN_POINTS, bd_rate
from bench.image_measure import PictureResult
from bench.table import Column, Row, render, summarise

BPP = Column("bpp", "bpp", 3, "bits", "pixels", interval=False)
TIMES = (
    Column("encode_cpu", "enc CPU s", 3, "encode_seconds", interval=False),
    Column("encode_wall", "enc s", 3, "encode_wall", interval=False),
    Column("decode_cpu", "dec CPU s", 3, "decode_seconds", interval=False),
    Column("decode_wall", "dec s", 3, "decode_wall", interval=False),
)
COLUMNS = (
    BPP,
    Column("psnr_rgb", "PSNR RGB", 2, "psnr_rgb", interval=False),
    Column("ms_ssim_rgb", "MS-SSIM RGB", 4, "ms_ssim_rgb", interval=False),
    Column("psnr_luma", "PSNR-Y", 2, "psnr_luma", interval=False),
    Column("ms_ssim_luma", "MS-SSIM-Y", 4, "ms_ssim_luma", interval=False),
    *TIMES,
)
"""Means over pictures; the rate is all bits over all pixels."""

QUALITIES = {"psnr_rgb": "PSNR RGB", "ms_ssim_rgb": "MS-SSIM RGB", "psnr_luma": "PSNR-Y"}
QUALITIES["ms_ssim_luma"] = "MS-SSIM-Y"
"""Keys that delta rates are given for, with their headings."""


def rows_by_rate(
    results: Sequence[PictureResult], columns: Sequence[Column] = COLUMNS
) -> dict[float, list[Row]]:
    """Rows for each rate in the order of ``results``' codecs."""
    order = list(dict.fromkeys(result.codec for result in results))
    tables = {}
    for rate in sorted({result.rate for result in results}):
        rows = summarise([r for r in results if r.rate == rate], columns, "bpp")
        tables[rate] = sorted(rows, key=lambda row: order.index(row.codec))
    return tables


def curves(tables: dict[float, list[Row]], quality: str) -> dict[str, list[tuple[float, float]]]:
    """Points (bits a pixel, quality) of each codec, by rising rate; only finite ones."""
    points: dict[str, list[tuple[float, float]]] = {}
    for rows in tables.values():
        for row in rows:
            if quality in row.estimates:
                point = row.estimates["bpp"].value, row.estimates[quality].value
                points.setdefault(row.codec, []).append(point)
    return {codec: sorted(points[codec]) for codec in points}


def delta_rates(tables: dict[float, list[Row]], anchor: str) -> dict[str, dict[str, float]]:
    """BD-rate of each codec against ``anchor``, per cent, by codec and quality.

    NaN where the curves do not overlap or one is no curve. MS-SSIM is compared in decibels,
    ``-10 log10(1 - MS-SSIM)``, for near 1 its own scale is too flat to interpolate on.

    Raises
    ------
    ValueError
        If the anchor is not among the codecs.
    """
    result: dict[str, dict[str, float]] = {}
    for quality in QUALITIES:
        lines = curves(tables, quality)
        if anchor not in lines:
            raise ValueError(f"the anchor {anchor!r} was not measured; found {', '.join(lines)}")
        for codec, points in lines.items():
            result.setdefault(codec, {})[quality] = _delta(lines[anchor], points, quality)
    return result


def decibels(quality: str, value: float) -> float:
    """A value on the scale it is compared and drawn on: MS-SSIM in dB, PSNR as it is."""
    if not quality.startswith("ms_ssim"):
        return value
    return -10.0 * math.log10(1.0 - value) if value < 1.0 else math.inf


def _delta(
    anchor: list[tuple[float, float]], points: list[tuple[float, float]], quality: str
) -> float:
    if min(len(anchor), len(points)) < MIN_POINTS:
        return math.nan
    (rates, levels), (own_rates, own_levels) = (
        ([bpp for bpp, _ in line], [decibels(quality, value) for _, value in line])
        for line in (anchor, points)
    )
    try:
        return bd_rate(rates, levels, own_rates, own_levels)
    except ValueError:
        return math.nan  # a curve that falls somewhere has no delta rate


def render_rates(tables: dict[float, list[Row]], columns: Sequence[Column] = COLUMNS) -> str:
    """Markdown: a heading and a table for each rate."""
    parts = []
    for rate, rows in tables.items():
        table = render(rows, markdown=True, columns=columns)
        parts.append(f"### Each picture set to {rate:g} bit/pixel\n\n{table}")
    return "\n\n".join(parts)


def render_deltas(deltas: dict[str, dict[str, float]], anchor: str) -> str:
    """Markdown table of BD-rates, the most economical codec (by RGB PSNR) first."""
    lines = [
        f"### BD-rate against {anchor}, %",
        "",
        "| codec | " + " | ".join(QUALITIES.values()) + " |",
        "|---|" + "--:|" * len(QUALITIES),
    ]
    ranked = sorted(deltas.items(), key=lambda item: _last_if_nan(item[1]["psnr_rgb"]))
    for codec, values in ranked:
        cells = [_percent(values.get(quality, math.nan)) for quality in QUALITIES]
        lines.append(f"| {codec} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _last_if_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.1f}"
