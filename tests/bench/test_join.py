"""Joining runs of the bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.join import load, table


def write(path: Path, clips: list[str], **rates: float) -> Path:
    rows: list[dict[str, Any]] = [
        {"codec": name, "estimates": {"kbps": {"value": rate}, "pesq_wb": {"value": 2.0}}}
        for name, rate in rates.items()
    ]
    path.write_text(json.dumps({"clips": [{"name": c} for c in clips], "rows": rows}))
    return path


def test_rows_are_joined_in_order_of_rate(tmp_path: Path) -> None:
    peers = write(tmp_path / "a.json", ["x"], opus=8.0, codec2=1.0)
    ours = write(tmp_path / "b.json", ["x"], streamcodec=2.0, opus=9.9)
    rows = load([peers, ours])
    assert [r["codec"] for r in rows] == ["codec2", "streamcodec", "opus"]
    lines = table(rows).splitlines()
    assert lines[3].startswith("| **streamcodec** | **2.00** | **–** | **2.00** |")
    assert "| opus | 8.00 |" in lines[4]


def test_runs_over_other_clips_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", ["x"], opus=8.0)
    other = write(tmp_path / "b.json", ["y"], streamcodec=2.0)
    with pytest.raises(ValueError, match="other clips"):
        load([one, other])
