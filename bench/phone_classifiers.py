"""What a codec costs a phone classifier: frames that an MLP and an LSTM take for another phone.

    python -m streamcodec_models.phones --data TRAINING --out phones.safetensors
    python -m bench.phone_classifiers FOLDER --classifiers phones.safetensors --peers all

The classifiers learnt from original recordings. Here they judge recordings that no training saw,
before and after each codec; the right phones are those that an offline recogniser finds in the
original, by aligning the transcript where the manifest has one. Frames of pauses do not count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from streamcodec_models.phone_labels import PhoneLabeller
from streamcodec_models.phone_nets import (
    KINDS,
    count_errors,
    features,
    fingerprint,
    load_classifiers,
)

from bench.cache import ResultCache
from bench.clips import Clip, load_clips
from bench.lineup import choose_peers
from bench.measure import Bench, ClipResult
from bench.metrics import Metric, Values
from bench.own_codec import OWN, parse_codec
from bench.peers import Identity
from bench.runs import finite, one_thread, only_available
from bench.signals import Sound, to_int16
from bench.table import Column, Row, render, summarise
from streamcodec.errors import StreamcodecError

ORIGINAL = Identity()
"""What every codec is compared with; always part of a run."""

FRAMES = "spoken_frames"

COLUMNS = (
    Column("kbps", "kbit/s", 2, "bits", "seconds", 1e-3, interval=False),
    *(
        column
        for kind in KINDS
        for column in (
            Column(f"{kind}_error", f"{kind.upper()} error %", 1, f"{kind}_wrong", FRAMES, 100.0),
            Column(f"{kind}_excess", "over original", 1, f"{kind}_excess", FRAMES, 100.0),
        )
    ),
)


class ClassifierErrors(Metric):
    """Frames with a phone in them, and how many of those each classifier gets wrong.

    Parameters
    ----------
    path : Path
        Classifiers, as ``streamcodec_models.phones`` writes them.

    Raises
    ------
    ModelError
        The file is missing or holds something else.
    """

    name = "phone_frames"
    columns = (*(f"{kind}_wrong" for kind in KINDS), FRAMES)
    packages = ("pocketsphinx",)
    modules = ("pocketsphinx",)

    def __init__(self, path: Path) -> None:
        self._nets = load_classifiers(path)
        self._fingerprint = fingerprint(path)
        self._labels: dict[str, torch.Tensor | None] = {}

    @cached_property
    def key(self) -> str:
        """As for every metric, and which classifiers."""
        return f"{super().key}:{self._fingerprint}"

    def applies_to(self, clip: Clip) -> bool:
        """Whether the recogniser can tell which phones are spoken in the original."""
        return self.labels(clip) is not None

    def labels(self, clip: Clip) -> torch.Tensor | None:
        """Label of each frame of the original, found once a clip."""
        if clip.identity not in self._labels:
            found = self._labeller.label(to_int16(clip.sound), clip.transcript)
            known = None if found is None else torch.from_numpy(found).long()
            self._labels[clip.identity] = known
        return self._labels[clip.identity]

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Let both classifiers judge the decoded sound."""
        labels = self.labels(clip)
        if labels is None:
            raise ValueError(f"{clip.name}: it is not known which phones are spoken")
        frames = features(decoded)
        values: Values = {}
        for kind, net in self._nets.items():
            wrong, spoken = count_errors(net, frames, labels)
            values |= {f"{kind}_wrong": float(wrong), FRAMES: float(spoken)}
        return values

    @cached_property
    def _labeller(self) -> PhoneLabeller:
        return PhoneLabeller()


def add_excess(results: Sequence[ClipResult]) -> None:
    """Give each result the frames that are wrong beyond those of the original's clip."""
    originals = {r.clip: r.values for r in results if r.codec == ORIGINAL.name}
    for result in results:
        for kind in KINDS:
            wrong = f"{kind}_wrong"
            if wrong in result.values and wrong in originals.get(result.clip, {}):
                excess = result.values[wrong] - originals[result.clip][wrong]
                result.values[f"{kind}_excess"] = excess


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        metric = ClassifierErrors(options.classifiers)
        chosen = [parse_codec(c, options.complexity) for c in options.codec or [OWN] if c != "none"]
        chosen += choose_peers(options.peers, options.lyra_models)
        clips = load_clips(options.folder, options.limit)
    except (StreamcodecError, ValueError, OSError) as error:
        print(f"phone_classifiers: {error}", file=sys.stderr)
        return 2
    if reason := metric.available():
        print(f"phone_classifiers: {reason}", file=sys.stderr)
        return 2

    missing: dict[str, str] = {}
    codecs = [ORIGINAL, *(c for c in chosen if c.name != ORIGINAL.name)]
    labelled = [clip for clip in clips if metric.applies_to(clip)]
    if not labelled:
        print(
            f"phone_classifiers: no clip of {options.folder} was understood; expected English "
            "speech, or transcripts in its manifest",
            file=sys.stderr,
        )
        return 2
    bench = Bench(labelled, [metric], set(), ResultCache(options.cache))
    results = bench.run(only_available(codecs, missing))
    add_excess(results)
    rows = summarise(results, COLUMNS)
    print(render(rows, options.markdown, columns=COLUMNS))
    print()
    for note in caption(clips, labelled, missing):
        print(f"- {note}" if options.markdown else note)
    if options.out:
        _write(options.out, rows, results)
    return 0


def caption(clips: list[Clip], labelled: list[Clip], missing: dict[str, str]) -> list[str]:
    """What a reader must know to read the table: one line a fact."""
    aligned = sum(1 for clip in labelled if clip.transcript)
    minutes = sum(clip.seconds for clip in labelled) / 60.0
    notes = [
        f"{len(labelled)} of {len(clips)} clips, {minutes:.1f} min: {aligned} with a transcript, "
        f"{len(labelled) - aligned} that the recogniser understood; ±: half the 95 % bootstrap "
        "interval over clips.",
        "Errors are shares of the frames (10 ms) in which the original has a phone; differences "
        "to the original are in points.",
    ]
    return notes + [f"{name}: not available: {reason}" for name, reason in missing.items()]


def _write(path: Path, rows: Sequence[Row], results: Sequence[ClipResult]) -> None:
    document = {
        "rows": [asdict(row) for row in rows],
        "results": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(finite(document), indent=1, allow_nan=False), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.phone_classifiers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="recordings, perhaps with a manifest.tsv")
    parser.add_argument(
        "--classifiers", type=Path, required=True, help="weights from streamcodec_models.phones"
    )
    parser.add_argument(
        "--codec", action="append", metavar="SPEC", help="as for bench.speech_quality; repeatable"
    )
    parser.add_argument("--complexity", type=int, help="of our codec, where SPEC does not say")
    parser.add_argument("--peers", default="all", help="comma-separated; all (default) or none")
    parser.add_argument("--lyra-models", type=Path, help="folder with Lyra's .tflite files")
    parser.add_argument("--limit", type=int, help="take so many clips, evenly spread")
    parser.add_argument("--cache", type=Path, help="folder that keeps the peers' results")
    parser.add_argument("--out", type=Path, help="write all results as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    return parser


if __name__ == "__main__":
    one_thread()
    sys.exit(main())
