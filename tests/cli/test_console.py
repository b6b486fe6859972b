"""Progress, pipes and tables."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from streamcodec.cli.console import duration, named_input, named_output, progress, speed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Pipe:
    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (7.254, "7.25 s"), (59.99, "59.99 s"), (60, "1:00 min"),
     (185.2, "3:05 min"), (3723, "1:02:03 h")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_speed() -> None:
    assert speed(0.25) == "0.250 (4.0 times as fast as real time)"
    assert speed(0.0) == "-"


def run_bar(total: float | None, steps: int) -> None:
    with progress("working") as update:
        for step in range(steps + 1):
            update(step * (total or 100.0) / steps, total)


def test_long_work_shows_progress_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run_bar(3600.0, 100)
    text = sys.stderr.getvalue()
    assert "working 100%" in text
    # Rarely: a log is no film.
    assert text.count("working") < 5


def test_unknown_length_shows_progress_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run_bar(None, 100)
    assert "working" in sys.stderr.getvalue()


def test_short_work_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        run_bar(5.0, 10)
        assert "working" not in stream.getvalue()


def test_standard_input_becomes_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b"sound"))
    with named_input("-") as path:
        assert path.read_bytes() == b"sound"
    assert not path.exists()


def test_standard_output_gets_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe()
    pipe.flush = lambda: None
    monkeypatch.setattr(sys, "stdout", pipe)
    with named_output("-", ".wav") as path:
        path.write_bytes(b"sound")
        assert path.suffix == ".wav"
    assert pipe.buffer.getvalue() == b"sound"
    assert not path.exists()


def test_failure_writes_nothing_to_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", pipe)

    def write_half() -> None:
        with named_output("-", ".wav") as path:
            path.write_bytes(b"so")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()
    assert pipe.buffer.getvalue() == b""


def test_names_are_paths() -> None:
    with named_input("a b.wav") as source, named_output("c.sc", ".sc") as target:
        assert (source, target) == (Path("a b.wav"), Path("c.sc"))
