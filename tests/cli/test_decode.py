"""``streamcodec decode``."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from streamcodec.cli.main import main


@pytest.mark.parametrize("vocoder", ["neural", "griffin-lim"])
def test_json_is_one_object(
    stream: Path, tmp_path: Path, vocoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["decode", str(stream), str(tmp_path / "a.wav"), "--vocoder", vocoder, "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["seconds"], report["sample_rate"]) == (2.0, 16_000)
    assert report["real_time_factor"] > 0
    assert report["vocoder"] == vocoder
    assert soundfile.info(tmp_path / "a.wav").frames == 32_000


def test_damaged_file_needs_recover(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.sc").write_bytes(data)
    arguments = ["decode", str(tmp_path / "a.sc"), str(tmp_path / "a.wav")]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "--recover" in captured.err
    assert captured.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["a.sc"]
    assert main([*arguments, "--recover"]) == 0
    assert "concealed" in capsys.readouterr().out


def test_foreign_file_is_one_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decode", str(recording), str(tmp_path / "a.wav")]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"streamcodec: error: {recording}: expected a streamcodec file")
    assert errors.count("\n") == 1


def test_through_pipes(stream: Path) -> None:
    with stream.open("rb") as source:
        decoded = subprocess.run(
            [sys.executable, "-m", "streamcodec", "decode", "-", "-"],
            stdin=source,
            capture_output=True,
        )
    assert decoded.stderr == b""
    assert soundfile.info(io.BytesIO(decoded.stdout)).frames == 32_000
