"""``streamcodec encode``: settings arrive, reports are right, nothing is left half done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamcodec.cli.main import main
from streamcodec.streamfile import open_stream

FIELDS = {
    "kbps", "payload_bits", "file_bytes", "seconds", "packets", "real_time_factor",
    "algorithmic_delay_ms", "model",
}  # fmt: skip
"""What ``--json`` promises."""


def test_json_is_one_object(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["encode", str(recording), str(tmp_path / "a.sc"), "--complexity", "1", "--json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert set(report) >= FIELDS
    assert report["seconds"] == 2.0
    assert report["kbps"] == pytest.approx(report["payload_bits"] / 2000)
    assert report["file_bytes"] == (tmp_path / "a.sc").stat().st_size
    assert captured.err == ""


def test_table_for_people(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(recording), str(tmp_path / "a.sc"), "--complexity", "0"]) == 0
    text = capsys.readouterr().out
    assert "2.00 s, 26 packets" in text
    assert "110 ms" in text


def test_settings_reach_the_encoder(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--bitrate", "6000", "--complexity", "1", "--quantizer", "uniform", "--low-delay"]
    assert main(["encode", str(recording), str(tmp_path / "a.sc"), *settings, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["bitrate"], report["complexity"]) == (6000, 1)
    assert (report["quantizer"], report["low_delay"]) == ("uniform", True)
    assert report["algorithmic_delay_ms"] == 70.0
    assert report["packets"] == 51
    with open_stream(tmp_path / "a.sc") as stream:
        assert stream.header.steps_per_packet == 1


def test_unknown_model_is_an_error(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["encode", str(recording), str(tmp_path / "a.sc"), "--model", "no-such-model"]
    assert main(arguments) == 1
    assert "streamcodec: error: " in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_empty_recording_reports_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(0), 16_000)
    assert main(["encode", str(tmp_path / "in.wav"), str(tmp_path / "a.sc"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["seconds"], report["kbps"], report["packets"]) == (0.0, 0.0, 0)
    assert main(["encode", str(tmp_path / "in.wav"), str(tmp_path / "a.sc")]) == 0


def test_report_and_stream_do_not_share_a_pipe(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(recording), "-", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "give OUT a name" in captured.err


def test_through_pipes(recording: Path, stream: Path) -> None:
    command = [sys.executable, "-m", "streamcodec"]
    with recording.open("rb") as source:
        encoded = subprocess.run(
            [*command, "encode", "-", "-", "--complexity", "0"], stdin=source, capture_output=True
        )
    assert encoded.stderr == b""
    assert encoded.stdout == stream.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000 * 3600, np.int16), 16_000)
    (tmp_path / "old.sc").write_bytes(b"precious")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamcodec", "encode", "long.wav", "old.sc"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and what they start, ignore the interrupt; a terminal's do not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    give_up = time.monotonic() + 60
    while not list(tmp_path.glob(".*.part")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < give_up
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert sorted(os.listdir(tmp_path)) == ["long.wav", "old.sc"]
    assert (tmp_path / "old.sc").read_bytes() == b"precious"
