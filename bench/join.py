"""One table from several runs of the speech bench over the same clips.

    python -m bench.join peers.json ours.json > table.md

A run takes long; peers need it once, our codec after every change. Rows come in the order of
their rate. Runs over other clips are refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = {
    "kbps": ("kbit/s", 2),
    "pesq_nb_raw": ("PESQ raw", 2),
    "pesq_wb": ("PESQ-WB", 2),
    "estoi": ("ESTOI", 3),
    "visqol": ("ViSQOL", 2),
    "distillmos": ("DistillMOS", 2),
    "dnsmos_ovrl": ("DNSMOS", 2),
    "mcd": ("MCD dB", 2),
    "speaker_similarity": ("speaker sim.", 3),
    "per": ("PER %", 1),
    "encode_rtf": ("enc RTF", 3),
    "decode_rtf": ("dec RTF", 3),
}
"""Key of an estimate: heading and digits."""


def load(paths: list[Path]) -> list[dict[str, Any]]:
    """Rows of all runs; raises ``ValueError`` if the runs are not over the same clips."""
    rows: list[dict[str, Any]] = []
    clips: list[Any] | None = None
    for path in paths:
        run = json.loads(path.read_text())
        if clips is not None and run["clips"] != clips:
            raise ValueError(f"{path} was measured on other clips than {paths[0]}")
        clips = run["clips"]
        known = {row["codec"] for row in rows}
        rows += [row for row in run["rows"] if row["codec"] not in known]
    return sorted(rows, key=lambda row: float(row["estimates"]["kbps"]["value"]))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown; our own in bold."""
    heads = ["codec"] + [head for head, _ in COLUMNS.values()]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * len(COLUMNS) + "|"]
    for row in rows:
        cells = [row["codec"]]
        for key, (_, digits) in COLUMNS.items():
            estimate = row["estimates"].get(key)
            cells.append("–" if estimate is None else f"{estimate['value']:.{digits}f}")
        if row["codec"].startswith("streamcodec"):
            cells = [f"**{cell}**" for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Print the joined table."""
    parser = argparse.ArgumentParser(description="join runs of the speech bench in one table")
    parser.add_argument("runs", type=Path, nargs="+", help="files written with --out")
    options = parser.parse_args()
    try:
        print(table(load(options.runs)))
    except (OSError, ValueError, KeyError) as error:
        print(f"join: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
