"""Pictures through our codec and its peers, each set to the same rates: tables and curves.

    python -m bench.image_quality FOLDER --cache CACHE --table ALL.md --json ALL.json --plot RD.png

Every picture is set to each rate by the codec's own quality parameter. Whatever this machine
lacks is named below the tables with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cache import ResultCache
from bench.image_codec import ImageCodec
from bench.image_measure import ImageBench, PictureResult
from bench.image_metrics import Fidelity
from bench.image_own import MODELS_OWN, StreamcodecImage
from bench.image_peers import all_image_peers
from bench.image_plot import draw
from bench.image_rate import RULES
from bench.image_table import delta_rates, render_deltas, render_rates, rows_by_rate
from bench.own_codec import OWN
from bench.pictures import Picture, load_pictures
from bench.runs import finite, one_thread, only_available
from bench.table import Row

RATES = "0.15,0.286,0.5,1.0"
"""Bits a pixel; 0.286 is that of the table in the method's paper (Liu, Cao, Kim 2020)."""

DEFAULT_ANCHOR = "heic"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        codecs, missing = choose_codecs(options)
        pictures = load_pictures(options.folder, options.limit)
    except (ValueError, OSError) as error:
        print(f"image_quality: {error}", file=sys.stderr)
        return 2
    if not codecs:
        print(f"image_quality: no codec can run: {missing}", file=sys.stderr)
        return 1
    bench = ImageBench(pictures, options.rates, options.fit, Fidelity(), ResultCache(options.cache))
    results = bench.run(codecs)
    tables = rows_by_rate(results)
    deltas, notes = _deltas(tables, options.anchor)
    notes = [*caption(pictures, options.fit, results, missing), *notes]
    text = render_rates(tables)
    if deltas:
        text += "\n\n" + render_deltas(deltas, options.anchor)
    text += "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    print(text)
    if options.table:
        write(options.table, text)
    if options.json:
        write(options.json, _document(pictures, tables, deltas, results, notes))
    if options.plot:
        draw(tables, options.plot, f"{len(pictures)} pictures")
    return 0 if any(row.estimates for rows in tables.values() for row in rows) else 1


def choose_codecs(options: argparse.Namespace) -> tuple[list[ImageCodec], dict[str, str]]:
    """Codecs of a command line that can run, and those that cannot with the reason.

    Ours takes part as often as models, distortions, quantizers and complexities are given. If it
    was not asked for by name and cannot run, it is left out without a word.

    Raises
    ------
    ValueError
        If a name is not known.
    """
    peers = all_image_peers()
    wanted: dict[str, ImageCodec] = {}
    own_named = False
    for name in filter(None, options.codecs.split(",")):
        if name == "all":
            wanted |= peers
        elif name == OWN:
            own_named = True
        elif name in peers:
            wanted[name] = peers[name]
        else:
            raise ValueError(
                f"unknown codec {name!r}: expected all, {OWN} or a peer ({', '.join(peers)})"
            )
    missing: dict[str, str] = {}
    able = only_available(wanted.values(), missing)
    if own_named or "all" in options.codecs.split(","):
        own_missing: dict[str, str] = {}
        own = only_available(
            [
                StreamcodecImage(complexity, quantizer, model, distortion, realism)
                for model in options.model or [None]
                for distortion in options.distortion
                for complexity in options.complexity
                for quantizer in options.quantizer
                for realism in options.realism
                # Nothing is searched at complexity 0; a distortion may have its own encoder.
                if complexity > 0 or quantizer == options.quantizer[0]
            ],
            own_missing,
        )
        able = [*own, *able]
        if own_named:
            missing |= own_missing
    return able, missing


def caption(
    pictures: Sequence[Picture],
    rule: str,
    results: Sequence[PictureResult],
    missing: Mapping[str, str],
) -> list[str]:
    """What a reader must know to read the tables: one line a fact."""
    chosen = {
        "below": "the largest file that does not exceed it",
        "nearest": "the file nearest to it",
    }[rule]
    megapixels = sum(picture.area for picture in pictures) / 1e6
    notes = [
        f"{len(pictures)} pictures, {megapixels:.1f} megapixels. Each is set to the rate by the "
        f"codec's finest quality steps: {chosen}; bpp is what was reached, headers included.",
        "PSNR: mean over pictures. RGB: error over all three channels; Y = 0.299 R + 0.587 G + "
        "0.114 B, full range, not rounded. MS-SSIM: five scales, 11-sample Gaussian window; RGB "
        "is the mean of the channels. Seconds: one picture, one thread.",
    ]
    for codec in dict.fromkeys(result.codec for result in results):
        own = [result for result in results if result.codec == codec]
        for rate in sorted({r.rate for r in own if r.values.get("over") == 1.0}):
            over = sum(r.rate == rate and r.values.get("over") == 1.0 for r in own)
            notes.append(f"{codec}: its smallest file exceeds {rate:g} bpp on {over} pictures.")
        errors = [result.errors[0] for result in own if result.errors]
        if errors:
            notes.append(f"{codec}: errors on {len(errors)} files, the first: {errors[0]}")
    notes += [f"{name}: not available: {reason}" for name, reason in missing.items()]
    return notes


def add_codec_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose codecs and how they are set to a rate."""
    parser.add_argument(
        "--codecs", default="all", help=f"comma-separated: all, {OWN} or peers (default all)"
    )
    parser.add_argument(
        "--complexity", type=_integers, default=[6], help="of ours, comma-separated (default 6)"
    )
    parser.add_argument(
        "--distortion",
        type=_names,
        default=[MODELS_OWN],
        help="of ours, comma-separated: model (what each is made for; default), mse, luma, ms-ssim",
    )
    parser.add_argument(
        "--quantizer",
        type=_names,
        default=["annealed"],
        help="of ours, comma-separated: annealed (default), admm, uniform",
    )
    parser.add_argument("--model", action="append", help="of ours: folder; repeatable")
    parser.add_argument(
        "--realism",
        type=_numbers,
        default=[0.0],
        help="of our decoder, comma-separated (default 0)",
    )
    parser.add_argument(
        "--fit",
        choices=RULES,
        default="below",
        help="largest file that does not exceed the rate (default), or nearest to it",
    )
    parser.add_argument("--limit", type=int, help="take so many pictures, evenly spread")
    parser.add_argument("--cache", type=Path, help="folder that keeps results")
    parser.add_argument("--json", type=Path, help="write all results as JSON")
    parser.add_argument("--table", type=Path, help="write the tables as Markdown")


def _deltas(
    tables: dict[float, list[Row]], anchor: str
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Delta rates with a note: without a second rate or the anchor there are none."""
    if len(tables) < 2:
        return {}, []
    try:
        deltas = delta_rates(tables, anchor)
    except ValueError as error:
        return {}, [f"no BD-rate: {error}"]
    return deltas, [
        "BD-rate: Bjøntegaard 2001 with piecewise cubic interpolation (PCHIP), on the means over "
        "pictures; MS-SSIM as −10 log₁₀(1 − MS-SSIM); –: the curves do not overlap."
    ]


def _document(
    pictures: Sequence[Picture],
    tables: dict[float, list[Row]],
    deltas: dict[str, dict[str, float]],
    results: Sequence[PictureResult],
    notes: list[str],
) -> str:
    document: dict[str, Any] = {
        "pictures": [{"name": picture.name, "pixels": picture.area} for picture in pictures],
        "rates": [
            {"bpp": rate, "rows": [asdict(row) for row in rows]} for rate, rows in tables.items()
        ],
        "bd_rate": deltas,
        "results": [asdict(result) for result in results],
        "notes": notes,
    }
    return json.dumps(finite(document), indent=1, allow_nan=False)


def write(path: Path, text: str) -> None:
    """Write a file into a folder that need not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _rates(text: str) -> list[float]:
    rates = [float(part) for part in text.split(",")]
    if min(rates) <= 0.0:
        raise argparse.ArgumentTypeError(f"rates must be positive, found {text}")
    return rates


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.image_quality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="pictures, for instance the Kodak suite")
    parser.add_argument(
        "--rates", type=_rates, default=RATES, help=f"bits a pixel (default {RATES})"
    )
    add_codec_options(parser)
    parser.add_argument("--anchor", default=DEFAULT_ANCHOR, help="of BD-rates (default heic)")
    parser.add_argument("--plot", type=Path, help="draw rate-distortion curves into a PNG file")
    return parser


if __name__ == "__main__":
    one_thread()
    sys.exit(main())
