"""Recordings that ``--data`` may name: a folder, or a public corpus laid out as it is published.

    FOLDER                          recordings; speakers from its manifest.tsv or subfolders
    librispeech:ROOT[:SUBSET]       ROOT/LibriSpeech/SUBSET (default train-clean-100)
    vctk:ROOT[:MICROPHONE]          ROOT/VCTK-Corpus-0.92 (default mic2)
    cmuarctic:ROOT[:VOICE]          ROOT/ARCTIC/cmu_us_VOICE_arctic (default: every voice there)
    ljspeech:ROOT                   ROOT/LJSpeech-1.1

The public corpora are read through ``torchaudio.datasets``, which knows their layouts, speakers
and transcripts. Nothing is downloaded.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from streamcodec.errors import InputError

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
MANIFEST = "manifest.tsv"


@dataclass(frozen=True)
class Recording:
    """One file, spoken by one person.

    Attributes
    ----------
    path : Path
    source : str
        Corpus; sampling weights go by it.
    speaker : str
        Unique within the source.
    transcript : str
        Empty where nobody wrote it down.
    """

    path: Path
    source: str
    speaker: str
    transcript: str = ""


def recordings(data: str) -> list[Recording]:
    """Recordings of a folder or of a public corpus, in a fixed order.

    Parameters
    ----------
    data : str
        As in the head of this module.

    Raises
    ------
    FileNotFoundError
        The folder, or the corpus inside it, is not there or holds no recordings.
    InputError
        A manifest lacks a column, or the corpus has no such part.
    """
    name, colon, rest = data.partition(":")
    if colon and name in CORPORA and not Path(data).exists():
        root, _, part = rest.partition(":")
        found = CORPORA[name](Path(root), part)
    else:
        found = _folder(Path(data))
    if not found:
        raise FileNotFoundError(
            f"{data} holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))}); "
            f"expected a folder with some, or one of {', '.join(CORPORA)} as NAME:FOLDER"
        )
    return found


def read_rows(manifest: Path, columns: set[str]) -> list[dict[str, str]]:
    """Rows of a tab-separated manifest.

    Raises
    ------
    InputError
        A column of ``columns`` is missing, or a row is shorter than the header line.
    """
    with manifest.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = columns - set(reader.fieldnames or ())
        if missing:
            raise InputError(
                f"{manifest}: expected the columns {', '.join(sorted(columns))}, found "
                f"{', '.join(reader.fieldnames or ()) or 'none'}; name them in its first line"
            )
        rows = list(reader)
    for number, row in enumerate(rows, 2):
        if any(row[column] is None for column in columns):
            raise InputError(f"{manifest}, line {number}: fewer fields than the header line")
    return rows


def _folder(folder: Path) -> list[Recording]:
    """Sound files under a folder, their speakers from its manifest or else their own folders."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not a folder: expected a packed corpus, a folder of recordings, or "
            f"one of {', '.join(CORPORA)} as NAME:FOLDER"
        )
    rows = read_rows(folder / MANIFEST, {"file"}) if (folder / MANIFEST).exists() else []
    notes = {row["file"]: row for row in rows}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            note = notes.get(path.relative_to(folder).as_posix(), {})
            found.append(
                Recording(
                    path,
                    note.get("source") or folder.name,
                    note.get("speaker") or path.parent.name,
                    (note.get("transcript") or "").strip(),
                )
            )
    return found


def _librispeech(root: Path, part: str) -> list[Recording]:
    """Read one subset."""
    subset = part or "train-clean-100"
    _expect(root / "LibriSpeech" / subset)
    rows = _read("librispeech", "LIBRISPEECH", root, url=subset)
    return [
        Recording(root / "LibriSpeech" / path, "librispeech", str(speaker), transcript)
        for path, _, transcript, speaker, *_ in rows
    ]


def _vctk(root: Path, part: str) -> list[Recording]:
    """Read all speakers as one of the two microphones heard them."""
    _expect(root / "VCTK-Corpus-0.92" / "txt")
    rows = _read("vctk", "VCTK_092", root, mic_id=part or "mic2")
    return [Recording(path, "vctk", who, text.strip()) for path, _, text, who, _ in rows]


def _cmuarctic(root: Path, part: str) -> list[Recording]:
    """Read one voice, or every voice that is there."""
    # Asked for a folder that is missing, the dataset's class would create it.
    _expect(root / "ARCTIC")
    there = sorted(p.name.split("_")[2] for p in (root / "ARCTIC").glob("cmu_us_*_arctic"))
    found = []
    for voice in [part] if part else there:
        _expect(root / "ARCTIC" / f"cmu_us_{voice}_arctic")
        rows = _read("cmuarctic", "CMUARCTIC", root, url=voice)
        found += [Recording(path, "cmuarctic", voice, text) for path, _, text, _ in rows]
    return found


def _ljspeech(root: Path, part: str) -> list[Recording]:
    """Read the one voice of LJSpeech."""
    if part:
        raise InputError(f"ljspeech has no parts, found {part!r}; write ljspeech:{root}")
    _expect(root / "LJSpeech-1.1" / "wavs")
    rows = _read("ljspeech", "LJSPEECH", root)
    return [Recording(path, "ljspeech", "lj", text) for path, _, _, text in rows]


CORPORA: dict[str, Callable[[Path, str], list[Recording]]] = {
    "librispeech": _librispeech,
    "vctk": _vctk,
    "cmuarctic": _cmuarctic,
    "ljspeech": _ljspeech,
}
"""Reader of each public corpus: root folder and part to recordings."""


def _expect(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not there: unpack the corpus as it is published and name the folder "
            "that holds its top folder"
        )


def _read(module: str, name: str, root: Path, **options: str) -> list[tuple[Any, ...]]:
    """Rows of a dataset, each with the path in place of the sound.

    What the dataset's class says of a wrong part or layout becomes ours.
    """
    try:
        dataset = getattr(_dataset_module(module), name)(str(root), **options)
        # LibriSpeech alone tells the path without reading the file; the others use `load`.
        row = getattr(dataset, "get_metadata", dataset.__getitem__)
        return [row(n) for n in range(len(dataset))]
    except (RuntimeError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{module} in {root} cannot be read: {error}") from error


@cache
def _dataset_module(name: str) -> types.ModuleType:
    """``torchaudio.datasets.NAME``, without what surrounds it.

    The datasets are plain Python. But torchaudio's own import loads binaries that fit one build
    of torch alone, and its ``load`` wants TorchCodec and decodes at once, where all that is asked
    for is which file belongs to whom. So the module is imported inside a bare package, whose
    ``load`` hands the path on.
    """
    with _bare_torchaudio():
        return importlib.import_module(f"torchaudio.datasets.{name}")


@contextmanager
def _bare_torchaudio() -> Iterator[None]:
    """Put a package without content in torchaudio's place; then everything as it was."""
    before = _forget_torchaudio()
    try:
        spec = importlib.util.find_spec("torchaudio")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(
                "public corpora are read through the package torchaudio: pip install torchaudio"
            )
        bare: Any = types.ModuleType("torchaudio")
        bare.__spec__ = spec
        bare.__path__ = list(spec.submodule_search_locations)
        bare.load = lambda path, *_: (Path(path), 0)
        sys.modules["torchaudio"] = bare
        yield
    finally:
        _forget_torchaudio()
        sys.modules.update(before)


def _forget_torchaudio() -> dict[str, types.ModuleType]:
    """Take torchaudio's modules out of the table of loaded ones and return them."""
    names = [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]
    return {n: sys.modules.pop(n) for n in names}
