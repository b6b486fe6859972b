"""Recordings to measure on: a folder of sound files, and a manifest that may say more of them.

The manifest is a tab-separated file ``manifest.tsv`` with a header line. Read are the columns
``file`` (required), ``speaker`` and ``transcript`` (either may be missing or empty).
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from bench.signals import SAMPLE_RATE, resample

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
MANIFEST = "manifest.tsv"


@dataclass(frozen=True)
class Clip:
    """One recording, mono, at 16 kHz.

    Attributes
    ----------
    name : str
        File name without its folder.
    sound : ndarray of float32, shape (n,)
        Samples in [-1, 1].
    speaker, transcript : str
        As the manifest has them; empty where it has nothing.
    """

    name: str
    sound: NDArray[np.float32]
    speaker: str = ""
    transcript: str = ""

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.sound) / SAMPLE_RATE

    @cached_property
    def identity(self) -> str:
        """Hash of everything that a score may depend on: samples and transcript."""
        digest = hashlib.sha256(np.ascontiguousarray(self.sound).tobytes())
        digest.update(self.transcript.encode())
        return digest.hexdigest()[:24]


def load_clips(folder: Path, limit: int | None = None) -> list[Clip]:
    """Read the recordings of a folder, in the order of their names.

    Parameters
    ----------
    folder : Path
        With sound files of any rate and channel count; channels are averaged.
    limit : int, optional
        Take this many clips, spread evenly over the folder.

    Raises
    ------
    FileNotFoundError
        If the folder holds no recordings.
    """
    notes = read_manifest(folder / MANIFEST)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"no recordings ({', '.join(sorted(SUFFIXES))}) in {folder}")
    if limit is not None and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    return [_load(path, notes.get(path.name, {})) for path in paths]


def read_manifest(path: Path) -> dict[str, dict[str, str]]:
    """Rows of a manifest by file name; nothing if there is no manifest.

    Raises
    ------
    ValueError
        If the manifest has no column ``file``.
    """
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    if rows and "file" not in rows[0]:
        raise ValueError(f"{path}: expected a column 'file', found {', '.join(rows[0])}")
    return {row["file"]: {key: value or "" for key, value in row.items()} for row in rows}


def every_kth(clips: list[Clip], step: int) -> set[str]:
    """Identities of clips 0, step, 2 step ... of each speaker: all voices, fewer sentences."""
    seen: dict[str, int] = {}
    chosen = set()
    for clip in clips:
        position = seen.get(clip.speaker, 0)
        seen[clip.speaker] = position + 1
        if position % step == 0:
            chosen.add(clip.identity)
    return chosen


def _load(path: Path, notes: dict[str, str]) -> Clip:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sound = resample(samples.mean(axis=1), rate, SAMPLE_RATE)
    return Clip(path.name, sound, notes.get("speaker", ""), notes.get("transcript", "").strip())
