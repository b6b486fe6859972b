"""What the commands share: progress on standard error, reports on standard output, pipes."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamcodec.errors import InputError

PIPE = "-"
"""Name that stands for standard input or output."""

LONG_RECORDING = 60.0
"""Seconds of sound from which progress is worth telling even where nobody may be watching."""

_WATCHED_INTERVAL, _LOGGED_INTERVAL = 0.1, 10.0
"""Seconds between updates of the bar on a terminal and in a log."""


@contextmanager
def progress(label: str, unit: str = "s") -> Iterator[Callable[[float, float | None], None]]:
    """Give a function to call with seconds done and seconds in all (None if unknown).

    On a terminal a bar appears once the work takes longer than a moment; elsewhere only for
    long recordings (or more than 60 of another unit), and it is renewed rarely.
    """
    from tqdm import tqdm

    watched = sys.stderr.isatty()
    bar: Any = None

    def update(done: float, total: float | None) -> None:
        nonlocal bar
        if bar is None:
            if not watched and max(done, total or 0.0) < LONG_RECORDING:
                return
            bar = tqdm(
                desc=label,
                total=None if total is None else round(total, 1),
                unit=unit,
                unit_scale=False,
                bar_format=None if total is None else _BAR.replace("UNIT", unit),
                file=sys.stderr,
                delay=0.5 if watched else 0.0,
                mininterval=_WATCHED_INTERVAL if watched else _LOGGED_INTERVAL,
                leave=not watched,
            )
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        if bar is not None:
            bar.close()


_BAR = "{desc} {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} UNIT [{elapsed}<{remaining}]"


def print_json(report: dict[str, Any]) -> None:
    """Print one object on standard output."""
    print(json.dumps(report, allow_nan=False))


def print_table(rows: dict[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")


def duration(seconds: float) -> str:
    """Write a length of time the way people read it: ``7.25 s``, ``3:05 min``, ``1:02:03 h``."""
    if seconds < LONG_RECORDING:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def speed(real_time_factor: float) -> str:
    """Write a real-time factor with what it means."""
    if real_time_factor <= 0:
        return "-"
    return f"{real_time_factor:.3f} ({1 / real_time_factor:.1f} times as fast as real time)"


@contextmanager
def named_input(name: str) -> Iterator[Path]:
    """Give the path of an input; standard input is first stored in a temporary file."""
    if name != PIPE:
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="streamcodec-") as folder:
        path = Path(folder) / "standard-input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


@contextmanager
def named_output(name: str, suffix: str) -> Iterator[Path]:
    """Give the path of an output; for standard output a temporary file that is copied there.

    Formats with a length in their header cannot be written to a pipe as they come.
    """
    if name != PIPE:
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="streamcodec-") as folder:
        path = Path(folder) / f"standard-output{suffix}"
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def refuse_mixed_output(options: Namespace) -> None:
    """Refuse to send a report and data down the same pipe.

    Raises
    ------
    InputError
        Both were asked for.
    """
    if options.output == PIPE and options.json:
        raise InputError("--json prints on standard output; give OUT a name of its own")


def quiet_torch() -> None:
    """Keep torch on one thread.

    The networks are small: several threads would spend their time waiting for each other at
    every operator, and a busy neighbour would make that many times worse.
    """
    import torch

    torch.set_num_threads(1)


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Make an argparse type: a whole number in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise ArgumentTypeError(
                f"expected a whole number from {lowest} to {highest}, not {text!r}"
            )
        return value

    return parse
