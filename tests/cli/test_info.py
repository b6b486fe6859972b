"""``streamcodec info``: facts without decoding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamcodec.cli.main import main


def test_json(stream: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(stream), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["version"]) == ("speech", 1)
    assert (facts["seconds"], facts["packets"], facts["packet_ms"]) == (2.0, 26, 80.0)
    assert facts["kbps"] == pytest.approx(facts["payload_bits"] / 2000)
    assert facts["file_bytes"] == stream.stat().st_size
    assert facts["seek_points"] == 2
    assert facts["metadata"]["sample_rate"] == 16_000


def test_table(stream: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(stream)]) == 0
    text = capsys.readouterr().out
    assert "2.00 s, 26 packets of 80 ms" in text
    assert "speech, bitstream version 1" in text


def test_every_byte_is_checked(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = stream.read_bytes()
    for place in range(0, len(original), 37):
        data = bytearray(original)
        data[place] ^= 0x10
        (tmp_path / "a.sc").write_bytes(data)
        assert main(["info", str(tmp_path / "a.sc")]) == 1, place
    errors = capsys.readouterr().err.splitlines()
    assert all(line.startswith("streamcodec: error: ") for line in errors)


def test_it_does_without_networks(stream: Path) -> None:
    code = (
        "import sys; from streamcodec.cli.main import main; "
        f"main(['info', {str(stream)!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
