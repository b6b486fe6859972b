"""What the image benches with one rate have in common: the table with its notes, and its files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.image_measure import PictureResult
from bench.image_quality import write
from bench.image_table import render_rates, rows_by_rate
from bench.runs import finite
from bench.table import Column


def publish(
    options: argparse.Namespace,
    results: Sequence[PictureResult],
    columns: Sequence[Column],
    notes: Sequence[str],
) -> None:
    """Print the table with its notes; write it and all results where the command line asks."""
    tables = rows_by_rate(results, columns)
    text = f"{render_rates(tables, columns)}\n\n" + "".join(f"- {note}\n" for note in notes)
    print(text)
    if options.table:
        write(options.table, text)
    if options.json:
        document: dict[str, Any] = {
            "rows": [asdict(row) for rows in tables.values() for row in rows],
            "results": [asdict(result) for result in results],
            "notes": list(notes),
        }
        write(options.json, json.dumps(finite(document), indent=1, allow_nan=False))
