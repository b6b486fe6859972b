"""Training sound: corpora in, random crops out.

A *packed* corpus is a folder of audio shards and a tab-separated manifest with the columns
``shard, start, length, source, speaker`` (samples at 16 kHz) and perhaps ``transcript``. Folders
of recordings and public corpora work as well (see :mod:`corpora`): each file is one utterance.
Everything is decoded once into 16-bit arrays in a cache folder and then read through memory maps.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from streamcodec.audiofile import open_recording
from streamcodec.errors import InputError
from streamcodec.safefile import replacing

from .corpora import read_rows, recordings

SAMPLE_RATE = 16_000
LOWEST_RATE = 8_000
"""Recordings below this rate, Hz, lack too much of speech to learn from."""

HELD_OUT_ONE_IN = 40
"""About one speaker in forty is never trained on; losses during the run are taken on these."""

OPEN_MAPS = 1024
"""Decoded files kept mapped; systems allow a process some 65 thousand maps, corpora have more."""

_COLUMNS = {"shard", "start", "length", "source", "speaker"}


@dataclass(frozen=True)
class Utterance:
    """One stretch of one speaker in one decoded shard.

    Attributes
    ----------
    shard : int
        Index into ``SpeechCorpus.shards``.
    start, length : int
        Samples.
    source, speaker : str
    transcript : str
        Empty where there is none.
    held_out : bool
        Whether it is kept from training.
    since, until : int
        What the same speaker says around it in the shard, samples: crops stay inside.
    """

    shard: int
    start: int
    length: int
    source: str
    speaker: str
    transcript: str = ""
    held_out: bool = False
    since: int = 0
    until: int = 0

    @property
    def voice(self) -> str:
        """Source and speaker."""
        return f"{self.source}/{self.speaker}"


class SpeechCorpus:
    """Decoded shards and the utterances in them.

    Parameters
    ----------
    data : str, Path or sequence of them
        Packed corpora, folders of recordings, public corpora by name.
    cache : Path
        Folder for decoded sound; created if it does not exist.

    Raises
    ------
    FileNotFoundError
        If one of ``data`` is not there or holds no recordings.
    InputError
        If a manifest or a recording cannot be used; the message names it.
    """

    def __init__(self, data: str | Path | Sequence[str | Path], cache: Path) -> None:
        self.shards = DecodedFiles(cache)
        found: list[Utterance] = []
        for each in [data] if isinstance(data, (str, Path)) else data:
            manifest = packed_manifest(Path(each))
            if manifest is not None:
                found += self._open_packed(manifest)
            else:
                found += self._open_recordings(str(each))
        self.utterances = hold_out(found)

    def _open_packed(self, manifest: Path) -> list[Utterance]:
        rows = read_rows(manifest, _COLUMNS)
        if not rows:
            raise FileNotFoundError(f"{manifest} lists no utterances")
        names = list(dict.fromkeys(row["shard"] for row in rows))
        numbers = {
            name: self.shards.add(manifest.parent / name) for name in _shown(names, manifest.parent)
        }
        found = []
        for line, row in enumerate(rows, 2):
            shard = numbers[row["shard"]]
            start, length = _position(row, self.shards.lengths[shard], f"{manifest}, line {line}")
            transcript = (row.get("transcript") or "").strip()
            found.append(Utterance(shard, start, length, row["source"], row["speaker"], transcript))
        return _with_surroundings(found, self.shards.lengths)

    def _open_recordings(self, data: str) -> list[Utterance]:
        found = []
        for recording in _shown(recordings(data), data):
            shard = self.shards.add(recording.path)
            length = self.shards.lengths[shard]
            found.append(
                Utterance(
                    shard, 0, length, recording.source, recording.speaker, recording.transcript,
                    until=length,
                )
            )  # fmt: skip
        return found

    def hours(self) -> float:
        """Length of all utterances."""
        return sum(u.length for u in self.utterances) / SAMPLE_RATE / 3600

    def sound(self, utterance: Utterance) -> np.ndarray:
        """Samples of an utterance, shape (length,), int16."""
        shard = self.shards[utterance.shard]
        return shard[utterance.start : utterance.start + utterance.length]

    def crops(
        self,
        samples: int,
        batch: int,
        rng: np.random.Generator,
        weights: dict[str, float] | None = None,
        held_out: bool = False,
    ) -> Iterator[np.ndarray]:
        """Yield ``(batch, samples)`` float32 crops for ever, levels varied.

        An utterance is drawn in proportion to its length times its source's weight.

        Raises
        ------
        InputError
            If all sources have the weight zero.
        """
        pool = [u for u in self.utterances if u.held_out == held_out]
        mass = np.array([u.length * (weights or {}).get(u.source, 1.0) for u in pool])
        if not mass.sum() > 0:
            sources = ", ".join(sorted({u.source for u in pool}))
            raise InputError(f"nothing to draw from: every source ({sources}) has the weight 0")
        mass = np.cumsum(mass / mass.sum())
        while True:
            picks = np.searchsorted(mass, rng.random(batch))
            yield np.stack([self._crop(pool[min(i, len(pool) - 1)], samples, rng) for i in picks])

    def _crop(self, utterance: Utterance, samples: int, rng: np.random.Generator) -> np.ndarray:
        start = utterance.start + int(rng.integers(max(1, utterance.length - samples // 2)))
        start = max(utterance.since, min(start, utterance.until - samples))
        end = min(start + samples, utterance.until)
        x = self.shards[utterance.shard][start:end].astype(np.float32) / 32768.0
        if len(x) < samples:
            x = np.pad(x, (0, samples - len(x)))
        decibels = rng.uniform(-10.0, 6.0) if rng.random() < 0.9 else rng.uniform(-30.0, -10.0)
        peak = float(np.abs(x).max()) + 1e-9
        return x * min(10.0 ** (decibels / 20.0), 0.99 / peak)


class DecodedFiles(Sequence[np.ndarray]):
    """Sound files as int16 arrays at 16 kHz, mono, decoded once and mapped when asked for."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.paths: list[Path] = []
        self.lengths: list[int] = []
        cache.mkdir(parents=True, exist_ok=True)

    def add(self, path: Path) -> int:
        """Decode a file unless that was done before; returns its number.

        Raises
        ------
        OSError
            If the file does not exist or may not be read.
        InputError
            If it is not sound that can be trained on.
        """
        stat = path.stat()
        text = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        key = hashlib.sha256(text.encode()).hexdigest()
        target = self.cache / f"{path.stem}-{key[:12]}.npy"
        if not target.exists():
            sound = decode(path)
            with replacing(target) as part, part.open("wb") as file:
                np.save(file, sound)
        self.paths.append(target)
        self.lengths.append(len(np.load(target, mmap_mode="r")))
        return len(self.paths) - 1

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """Samples of a file, shape (n,), int16, read-only."""
        return _mapped(self.paths[index])


@lru_cache(maxsize=OPEN_MAPS)
def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def decode(path: Path) -> np.ndarray:
    """Samples of a sound file, mixed to mono and resampled to 16 kHz, shape (n,), int16.

    Raises
    ------
    OSError
        If the file does not exist or may not be read.
    InputError
        If it is no sound, holds none, holds samples that are not finite, or has too low a rate.
    """
    import soxr

    with open_recording(path) as recording:
        rate = recording.sample_rate
        if rate < LOWEST_RATE:
            raise InputError(
                f"{path} has a sampling rate of {rate} Hz, expected {LOWEST_RATE} or more; "
                "remove it from the training data"
            )
        blocks = [block.mean(axis=1) for block in recording.blocks]
    mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(mono):
        raise InputError(f"{path} holds no sound; remove it from the training data")
    if not np.isfinite(mono).all():
        second = float(np.argmin(np.isfinite(mono))) / rate
        raise InputError(
            f"{path} holds samples that are not finite numbers, the first at {second:.3f} s; "
            "repair it or remove it from the training data"
        )
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)


def packed_manifest(folder: Path) -> Path | None:
    """The manifest of a packed corpus; ``None`` if the folder is none.

    Raises
    ------
    InputError
        If the folder has a manifest that is neither a packed corpus's nor a list of files.
    """
    manifests = sorted(folder.glob("*.tsv")) if folder.is_dir() else []
    for manifest in manifests:
        with manifest.open(encoding="utf-8") as lines:
            columns = lines.readline().rstrip("\r\n").split("\t")
        if "shard" in columns:
            return manifest
        if "file" not in columns:
            raise InputError(
                f"{manifest}: expected a column 'shard' (packed corpus: "
                f"{', '.join(sorted(_COLUMNS))}) or 'file' (list of recordings), found "
                f"{', '.join(columns)}"
            )
    return None


def hold_out(utterances: list[Utterance]) -> list[Utterance]:
    """Mark what is kept from training: about one speaker in forty, by a hash of the name.

    With few speakers the hash may pick none; then it is the one with the lowest hash. Of a single
    speaker one recording in forty is held out, of a single recording its last fortieth.

    Parameters
    ----------
    utterances : list of Utterance
        At least one.

    Returns
    -------
    list of Utterance
        In the same order; both kinds are among them.
    """
    hashes = {u.voice: zlib.crc32(u.voice.encode()) for u in utterances}
    chosen = {v for v, h in hashes.items() if h % HELD_OUT_ONE_IN == 0}
    if len(hashes) > 1:
        if not chosen or len(chosen) == len(hashes):
            chosen = {min(hashes, key=lambda v: hashes[v])}
        return [replace(u, held_out=u.voice in chosen) for u in utterances]
    if len(utterances) > 1:
        return [replace(u, held_out=i % HELD_OUT_ONE_IN == 0) for i, u in enumerate(utterances)]
    whole = utterances[0]
    border = whole.start + whole.length - max(1, whole.length // HELD_OUT_ONE_IN)
    return [
        replace(whole, length=border - whole.start, until=border),
        replace(
            whole, start=border, length=whole.start + whole.length - border,
            since=border, held_out=True,
        ),
    ]  # fmt: skip


def _with_surroundings(utterances: list[Utterance], lengths: list[int]) -> list[Utterance]:
    """Let each utterance know how far its speaker goes on around it in the shard."""
    found = []
    ordered = sorted(utterances, key=lambda u: (u.shard, u.start))
    for (shard, _), group in groupby(ordered, key=lambda u: (u.shard, u.voice)):
        members = list(group)
        since = members[0].start
        until = min(max(u.start + u.length for u in members), lengths[shard])
        found += [replace(u, since=since, until=until) for u in members]
    return found


def _position(row: dict[str, str], available: int, where: str) -> tuple[int, int]:
    """Start and length of a manifest's row, checked against the shard."""
    try:
        start, length = int(row["start"]), int(row["length"])
    except ValueError:
        raise InputError(
            f"{where}: expected whole numbers of samples for start and length, found "
            f"{row['start']!r} and {row['length']!r}"
        ) from None
    if start < 0 or length < 1 or start + length > available:
        raise InputError(
            f"{where}: samples {start} to {start + length} are not inside {row['shard']}, which "
            f"has {available} at {SAMPLE_RATE} Hz; positions count samples at that rate"
        )
    return start, length


def _shown(items: Sequence, data: str | Path) -> tqdm:
    """Show progress where decoding takes long."""
    return tqdm(items, desc=f"decoding {data}", unit="file", delay=2.0, leave=False)
