"""Speech quality of our codec and its peers on a folder of recordings: one table.

    python -m bench.speech_quality FOLDER --codec streamcodec:2000 --peers all --cache CACHE

Everything is measured in one run on the same clips: payload rate, quality, intelligibility and
speed. Whatever this machine lacks is named below the table with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cache import ResultCache
from bench.clips import Clip, every_kth, load_clips
from bench.lineup import choose_peers
from bench.measure import Bench, ClipResult
from bench.metrics import LISTENING_LEVEL_DB, Metric, choose_metrics
from bench.own_codec import OWN, parse_codec
from bench.runs import failures, finite, one_thread, only_available
from bench.table import Row, render, summarise

SLOW_CLIPS = 40
"""Slow metrics are measured on at least this many clips unless told otherwise."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        codecs = [
            parse_codec(text, options.complexity)
            for text in options.codec or [OWN]
            if text != "none"
        ]
        codecs += choose_peers(options.peers, options.lyra_models)
        metrics = choose_metrics(options.metrics)
        clips = load_clips(options.folder, options.limit)
    except (ValueError, OSError) as error:
        print(f"speech_quality: {error}", file=sys.stderr)
        return 2

    missing: dict[str, str] = {}
    codecs = only_available(codecs, missing)
    metrics = only_available(metrics, missing)
    step, subset = slow_subset(clips, options.slow_clips)
    bench = Bench(clips, metrics, subset, ResultCache(options.cache))
    results = bench.run(codecs)
    rows = summarise(results)

    print(render(rows, options.markdown, not options.no_intervals))
    print()
    for note in caption(clips, metrics, step, len(subset), results, missing):
        print(f"- {note}" if options.markdown else note)
    if options.out:
        write_json(options.out, clips, rows, results, missing)
    return 0 if any(row.estimates for row in rows) else 1


def slow_subset(clips: list[Clip], least: int) -> tuple[int, set[str]]:
    """Every k-th clip of each speaker, for the largest k that leaves at least ``least`` clips.

    Returns
    -------
    step : int
        k.
    subset : set of str
        Identities of the clips; all of them if ``least`` is 0 or there are no more than that.
    """
    step, subset = 1, every_kth(clips, 1)
    for wider in range(2, len(clips) + 1):
        fewer = every_kth(clips, wider)
        if not 0 < least <= len(fewer):
            break
        if len(fewer) < len(subset):
            step, subset = wider, fewer
    return step, subset


def caption(
    clips: list[Clip],
    metrics: list[Metric],
    step: int,
    subset_size: int,
    results: Sequence[ClipResult],
    missing: Mapping[str, str],
) -> list[str]:
    """What a reader must know to read the table: one line a fact."""
    speakers = {clip.speaker for clip in clips if clip.speaker}
    minutes = sum(clip.seconds for clip in clips) / 60.0
    notes = [
        f"{len(clips)} clips, {minutes:.1f} min"
        + (f", {len(speakers)} speakers" if speakers else "")
        + ". kbit/s: payload bits over duration. ±: half the 95 % bootstrap interval over clips."
    ]
    slow = [metric.name for metric in metrics if metric.slow]
    if slow and step > 1:
        notes.append(f"{', '.join(slow)}: on {subset_size} of them, one in {step} of each speaker.")
    if any(metric.name == "per" for metric in metrics):
        scored = {r.clip for r in results if "phone_errors" in r.values}
        notes.append(
            f"PER: PocketSphinx phone decoding against the transcripts of {len(scored)} clips; "
            "clips without transcript (or with a word that its dictionary lacks) are left out."
        )
    notes.append(
        "Decoded sound is aligned by cross-correlation; DistillMOS, DNSMOS and the recogniser "
        f"get it at {LISTENING_LEVEL_DB:g} dBFS active level. "
        "RTF: processor seconds for a second of sound."
    )
    return notes + failures(results, missing, "clips")


def write_json(
    path: Path,
    clips: list[Clip],
    rows: Sequence[Row],
    results: Sequence[ClipResult],
    missing: Mapping[str, str],
) -> None:
    """Write the table and every clip's values; what could not be measured becomes ``null``."""
    document = {
        "clips": [{"name": c.name, "speaker": c.speaker, "seconds": c.seconds} for c in clips],
        "not_available": dict(missing),
        "rows": [asdict(row) for row in rows],
        "results": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(finite(document), indent=1, allow_nan=False), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.speech_quality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="recordings, perhaps with a manifest.tsv")
    parser.add_argument(
        "--codec",
        action="append",
        metavar="SPEC",
        help="streamcodec:BITRATE[:OPTION=VALUE...], NAME=module:function, or none; repeatable",
    )
    parser.add_argument("--complexity", type=int, help="of our codec, where SPEC does not say")
    parser.add_argument("--peers", default="all", help="comma-separated; all (default) or none")
    parser.add_argument("--lyra-models", type=Path, help="folder with Lyra's .tflite files")
    parser.add_argument("--metrics", default="all", help="comma-separated; all (default), quick")
    parser.add_argument("--limit", type=int, help="take so many clips, evenly spread")
    parser.add_argument(
        "--slow-clips",
        type=int,
        default=SLOW_CLIPS,
        help="measure slow metrics on every k-th clip, at least so many (default 40; 0: all)",
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps results")
    parser.add_argument("--out", type=Path, help="write all results as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    parser.add_argument("--no-intervals", action="store_true", help="print means alone")
    return parser


if __name__ == "__main__":
    one_thread()
    sys.exit(main())
