"""Exit statuses and what the user sees when something is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from streamcodec import __version__
from streamcodec.cli import info
from streamcodec.cli.main import COMMANDS, describe, main
from streamcodec.errors import FormatError, InputError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Run ``streamcodec info x`` with a body that raises the given exception."""

    def run_with(error: BaseException) -> int:
        def run(_options: Namespace) -> int:
            raise error

        monkeypatch.setattr(info, "run", run)
        return main(["info", "x"])

    return run_with


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"streamcodec {__version__}"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"    {name} " in text for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["encod"],
        ["encode"],
        ["encode", "a", "b", "--bitrate", "fast"],
        ["encode", "a", "b", "--bitrate", "0"],
        ["encode", "a", "b", "--complexity", "11"],
        ["encode", "a", "b", "--complexity", "1.5"],
        ["encode", "a", "b", "--quantizer", "none"],
        ["decode", "a", "b", "--vocoder", "world"],
        ["inspect", "a"],
        ["inspect", "a", "-o", "b.png", "--seconds", "nan"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: streamcodec" in captured.err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("expected sound,\n  found none"), "expected sound, found none"),
        (FormatError("foreign"), "foreign"),
        (FileNotFoundError(2, "No such file or directory", "a.wav"), "a.wav: no such file"),
        (OSError("strange"), "strange"),
        (MemoryError(), "out of memory"),
    ],
)
def test_expected_errors_are_one_line(
    failing, error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"streamcodec: error: {line}")
    assert captured.err.count("\n") == 1


def test_our_own_mistakes_are_not_hidden(failing) -> None:
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("a bug"))


def test_interrupt_is_130_and_quiet(failing, capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_terminate_unwinds_and_the_handler_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    unwound = []

    def run(_options: Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            unwound.append(True)
        return 0

    monkeypatch.setattr(info, "run", run)
    assert main(["info", "x"]) == 143
    assert unwound == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_reader_that_has_seen_enough() -> None:
    command = f"{sys.executable} -m streamcodec --help | true"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True
    )
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_describe_never_gives_an_empty_line() -> None:
    assert describe(InputError()) == "InputError"


def test_runs_as_a_module(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "streamcodec", "info", str(tmp_path / "none.sc")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("streamcodec: error: ")
    assert "none.sc: no such file" in result.stderr
