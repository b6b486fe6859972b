"""Results kept between runs: one file of JSON lines a codec and version, appended to as it goes.

A run that was broken off loses at most the clip it was at. A later line for the same clip adds to
the earlier ones, so that metrics can be measured one after the other.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from bench.metrics import Values


class Cached(Protocol):
    """What the cache asks of a codec, of sound or of pictures."""

    name: str
    cacheable: bool

    @property
    def version(self) -> str:
        """Changes whenever a result may change."""


@dataclass
class Record:
    """What is known of one clip through one codec.

    Attributes
    ----------
    clip : str
        The clip's identity.
    bits : int
        Payload.
    encode_seconds, decode_seconds : float
        Processor time.
    scores : dict
        Values of each metric, by the metric's key.
    """

    clip: str
    bits: int
    encode_seconds: float
    decode_seconds: float
    scores: dict[str, Values] = field(default_factory=dict)


class ResultCache:
    """Records on disk; without a folder it remembers nothing.

    Parameters
    ----------
    folder : Path or None
        Created if it does not exist.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def load(self, codec: Cached) -> dict[str, Record]:
        """Records of a codec by clip identity; lines that cannot be read are passed over."""
        path = self._path(codec)
        if path is None or not path.exists():
            return {}
        records: dict[str, Record] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = Record(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the run was broken off while this line was written
            if record.clip in records:
                record.scores = records[record.clip].scores | record.scores
            records[record.clip] = record
        return records

    def append(self, codec: Cached, record: Record) -> None:
        """Add what was measured now."""
        path = self._path(codec)
        if path is None:
            return
        # On its own line even if the last run broke off inside one.
        with path.open("a", encoding="utf-8") as lines:
            lines.write(f"\n{json.dumps(asdict(record))}")

    def _path(self, codec: Cached) -> Path | None:
        if self.folder is None or not codec.cacheable:
            return None
        digest = hashlib.sha256(codec.version.encode()).hexdigest()[:8]
        # A setting may name a folder.
        name = re.sub(r"[^\w.=-]", "_", codec.name)
        return self.folder / f"{name}-{digest}.jsonl"
