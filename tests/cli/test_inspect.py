"""``streamcodec inspect``: a picture with everything on it, and the arrays behind it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from streamcodec.cli.main import main
from streamcodec.core.packet import PREFIX_BYTES
from streamcodec.errors import FormatError
from streamcodec.inspection import view_stream
from streamcodec.streamfile import open_stream


def test_view_of_a_stream(stream: Path, recording: Path) -> None:
    view = view_stream(stream, original=recording)
    assert view.seconds == 2.0
    assert view.decoded.shape == view.original.shape == (200, 80)
    assert view.symbols.shape[0] == 2 * 26
    assert view.symbols.any(axis=1).mean() > 0.8
    assert len(view.bits) == len(view.refresh) == 26
    assert list(np.flatnonzero(view.refresh)) == [0, 25]
    with open_stream(stream) as file:
        records = list(file.records())
    np.testing.assert_array_equal(view.bits, [8 * (len(r) - PREFIX_BYTES) for r in records])
    assert 0.5 < view.kbps < 4.0
    # Decoded and original agree roughly, and at the same time.
    loud = view.original > -50
    assert np.abs(view.decoded - view.original)[loud].mean() < 8
    assert (np.diff(view.band_frequencies) > 0).all()


def test_view_ends_where_it_should(stream: Path, recording: Path) -> None:
    view = view_stream(stream, original=recording, seconds=0.5)
    assert view.seconds == 0.5
    assert len(view.decoded) == len(view.original) == 50
    assert len(view.bits) == 7


def test_original_may_have_another_rate_and_length(
    stream: Path, recording: Path, tmp_path: Path
) -> None:
    samples, _ = soundfile.read(recording)
    soundfile.write(tmp_path / "a.wav", np.repeat(samples[:16_000], 3)[:, None] @ [[1, 1]], 48_000)
    view = view_stream(stream, original=tmp_path / "a.wav")
    assert view.original.shape == (100, 80)


def test_lost_packets_are_shown_as_nothing(stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()
    (tmp_path / "a.sc").write_bytes(data[: len(data) // 2] + b"\xff" * 60)
    view = view_stream(tmp_path / "a.sc", recover=True)
    assert 5 < len(view.bits) < 26
    with pytest.raises(FormatError):
        view_stream(tmp_path / "a.sc")


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_picture_formats(stream: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    assert main(["inspect", str(stream), "-o", str(path), "--seconds", "0.5"]) == 0
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix.lower()]
    assert path.read_bytes().startswith(start)


def test_picture_is_drawn(stream: Path, recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    assert main(["inspect", str(stream), "-o", str(path), "--original", str(recording)]) == 0
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 800
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500


def test_empty_stream_can_be_drawn(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(0), 16_000)
    source, stream, picture = (str(tmp_path / n) for n in ("in.wav", "a.sc", "a.png"))
    assert main(["encode", source, stream]) == 0
    assert main(["inspect", stream, "-o", picture, "--original", source]) == 0


def test_mistakes_leave_no_picture(
    stream: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        ([str(stream), "-o", str(tmp_path / "a.gif")], "expected a name ending in .png"),
        ([str(recording), "-o", str(tmp_path / "a.png")], "expected a streamcodec file"),
        (
            [str(stream), "-o", str(tmp_path / "a.png"), "--original", str(stream)],
            "not a recording",
        ),
    ):
        assert main(["inspect", *arguments]) == 1
        assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
