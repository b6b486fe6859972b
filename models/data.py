"""Training sound: manifests in, random crops out.

A *packed* corpus is a folder of audio shards and a tab-separated manifest with the columns
``shard, start, length, source, speaker`` (samples at 16 kHz). A plain folder of recordings works
as well: each file is one utterance of a speaker named after its folder. Everything is decoded
once into 16-bit arrays in a cache folder and then read through memory maps.
"""

from __future__ import annotations

import csv
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLE_RATE = 16_000
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
HELD_OUT_ONE_IN = 40
"""About one speaker in forty is never trained on; losses during the run are taken on these."""


@dataclass(frozen=True)
class Utterance:
    """One stretch of one speaker in one decoded shard."""

    shard: int
    start: int
    length: int
    source: str
    speaker: str

    @property
    def held_out(self) -> bool:
        """Whether this speaker is kept from training."""
        return zlib.crc32(f"{self.source}/{self.speaker}".encode()) % HELD_OUT_ONE_IN == 0


class SpeechCorpus:
    """Decoded shards and the utterances in them."""

    def __init__(self, folder: Path, cache: Path) -> None:
        """Open a packed corpus or a folder of recordings.

        Raises ``FileNotFoundError`` if the folder holds neither.
        """
        manifests = sorted(folder.glob("*.tsv"))
        self.shards: list[np.ndarray] = []
        self.utterances: list[Utterance] = []
        if manifests:
            self._open_packed(folder, manifests[0], cache)
        else:
            self._open_folder(folder, cache)
        if not self.utterances:
            raise FileNotFoundError(f"no manifest (*.tsv) and no recordings in {folder}")

    def _open_packed(self, folder: Path, manifest: Path, cache: Path) -> None:
        numbers: dict[str, int] = {}
        with manifest.open(newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                name = row["shard"]
                if name not in numbers:
                    numbers[name] = len(self.shards)
                    self.shards.append(_decoded(folder / name, cache))
                self.utterances.append(
                    Utterance(
                        numbers[name], int(row["start"]), int(row["length"]),
                        row["source"], row["speaker"],
                    )
                )  # fmt: skip

    def _open_folder(self, folder: Path, cache: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                sound = _decoded(path, cache)
                self.utterances.append(
                    Utterance(len(self.shards), 0, len(sound), folder.name, path.parent.name)
                )
                self.shards.append(sound)

    def hours(self) -> float:
        """Length of all utterances."""
        return sum(u.length for u in self.utterances) / SAMPLE_RATE / 3600

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
        """
        pool = [u for u in self.utterances if u.held_out == held_out]
        mass = np.array([u.length * (weights or {}).get(u.source, 1.0) for u in pool])
        mass = np.cumsum(mass / mass.sum())
        while True:
            picks = np.searchsorted(mass, rng.random(batch))
            yield np.stack([self._crop(pool[min(i, len(pool) - 1)], samples, rng) for i in picks])

    def _crop(self, utterance: Utterance, samples: int, rng: np.random.Generator) -> np.ndarray:
        shard = self.shards[utterance.shard]
        start = utterance.start + int(rng.integers(max(1, utterance.length - samples // 2)))
        start = max(0, min(start, len(shard) - samples))
        x = shard[start : start + samples].astype(np.float32) / 32768.0
        if len(x) < samples:
            x = np.pad(x, (0, samples - len(x)))
        decibels = rng.uniform(-10.0, 6.0) if rng.random() < 0.9 else rng.uniform(-30.0, -10.0)
        peak = float(np.abs(x).max()) + 1e-9
        return x * min(10.0 ** (decibels / 20.0), 0.99 / peak)


def _decoded(path: Path, cache: Path) -> np.ndarray:
    """The samples of a file, int16 at 16 kHz mono, through a cached memory map."""
    cache.mkdir(parents=True, exist_ok=True)
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()
    target = cache / f"{path.stem}-{key[:12]}.npy"
    if not target.exists():
        import soundfile
        import soxr

        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = sound.mean(axis=1)
        if rate != SAMPLE_RATE:
            mono = soxr.resample(mono, rate, SAMPLE_RATE)
        part = target.with_suffix(".part.npy")
        np.save(part, np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16))
        part.replace(target)
    return np.load(target, mmap_mode="r")
