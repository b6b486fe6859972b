"""Recordings are read and written block by block, in any format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamcodec.audiofile import (
    BLOCK_VALUES,
    OUTPUT_FORMATS,
    RecordingWriter,
    open_recording,
    output_format,
)
from streamcodec.errors import InputError

RATE = 16_000


def tone(seconds: float, channels: int = 1) -> np.ndarray:
    """A quiet tone, float32 (n, channels)."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.repeat(0.3 * np.sin(2 * np.pi * 440 * time)[:, None], channels, 1).astype(np.float32)


def read_all(path: Path) -> tuple[int, np.ndarray]:
    with open_recording(path) as recording:
        blocks = list(recording.blocks)
        return recording.sample_rate, np.concatenate(
            [np.zeros((0, recording.channels), np.float32), *blocks]
        )


@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 9.0])
def test_blocks_are_bounded_and_complete(tmp_path: Path, channels: int, seconds: float) -> None:
    samples = tone(seconds, channels)
    soundfile.write(tmp_path / "in.wav", samples, RATE, subtype="FLOAT")
    with open_recording(tmp_path / "in.wav") as recording:
        assert (recording.sample_rate, recording.channels) == (RATE, channels)
        assert recording.seconds == pytest.approx(seconds)
        blocks = list(recording.blocks)
    assert all(block.size <= BLOCK_VALUES and block.dtype == np.float32 for block in blocks)
    if blocks:
        np.testing.assert_array_equal(np.concatenate(blocks), samples)
    else:
        assert not seconds


@pytest.mark.parametrize("name", ["a.mp3", "a.aiff", "a.au", "a.w64", "a.caf"])
def test_common_formats_are_read(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(1.0), RATE)
    rate, samples = read_all(tmp_path / name)
    assert rate == RATE
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.05)


def test_suffix_does_not_matter_for_reading(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE)
    for name in ("noise.raw", "recording", "b.txt"):
        (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())
        # A headerless suffix is libsndfile's signal to ask for the format: then ffmpeg reads it.
        if name != "noise.raw":
            assert len(read_all(tmp_path / name)[1]) == RATE // 2


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_recording(tmp_path / "none.wav"):
        pass
    with pytest.raises(IsADirectoryError), open_recording(tmp_path):
        pass


def test_damaged_sound_is_an_input_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "a.flac"
    soundfile.write(path, rng.uniform(-0.5, 0.5, 20 * RATE), RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = rng.bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        read_all(path)


def install_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a stand-in for the ffmpeg program on the search path."""
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport struct, sys\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


AU = (
    "sys.stdout.buffer.write(struct.pack('>4sIIIII', b'.snd', 28, 0xffffffff, 6, 44100, 2)"
    " + 4 * b'x'"
)
"""Beginning of a script that writes what ffmpeg would: the header of 44.1 kHz stereo."""


def test_other_formats_go_through_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ffmpeg(tmp_path, monkeypatch, f"{AU} + struct.pack('>4f', .5, -.5, .25, -.25) * 50000)")
    (tmp_path / "a.m4a").write_bytes(b"no format of libsndfile")
    with open_recording(tmp_path / "a.m4a") as recording:
        assert (recording.sample_rate, recording.channels) == (44_100, 2)
        assert recording.seconds is None
        samples = np.concatenate(list(recording.blocks))
    assert samples.shape == (100_000, 2)
    np.testing.assert_array_equal(samples[:2], [[0.5, -0.5], [0.25, -0.25]])


def test_ffmpeg_is_given_a_file_and_never_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_ffmpeg(tmp_path, monkeypatch, "print(*sys.argv, file=sys.stderr); sys.exit(1)")
    monkeypatch.chdir(tmp_path)
    Path("http:").mkdir()
    Path("http:/a").write_bytes(b"?")
    with pytest.raises(InputError, match=r"-i file:http:/a "), open_recording(Path("http:/a")):
        pass


@pytest.mark.parametrize(
    "script",
    [
        "sys.exit('no sound here')",
        f"{AU}); sys.stdout.flush(); sys.exit('no sound here')",
    ],
)
def test_failure_of_ffmpeg_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    install_ffmpeg(tmp_path, monkeypatch, script)
    (tmp_path / "a.m4a").write_bytes(b"?")
    with pytest.raises(InputError, match="no sound here"):
        read_all(tmp_path / "a.m4a")


def test_abandoned_ffmpeg_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ffmpeg(tmp_path, monkeypatch, f"{AU})\nwhile True: sys.stdout.buffer.write(bytes(800))")
    (tmp_path / "a.m4a").write_bytes(b"?")
    with open_recording(tmp_path / "a.m4a") as recording:
        assert len(next(recording.blocks))


def test_without_ffmpeg_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "a.m4a").write_bytes(b"?")
    with pytest.raises(InputError, match="install the ffmpeg program"):
        read_all(tmp_path / "a.m4a")


@pytest.mark.parametrize("suffix", sorted(OUTPUT_FORMATS))
def test_written_recordings_have_every_sample(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "anything"
    writer = RecordingWriter(path, RATE, *output_format(Path(f"a{suffix.upper()}")))
    for block in np.array_split(2 * tone(2.0)[:, 0], 7):
        writer.write(block)
    writer.close()
    rate, samples = read_all(path)
    assert (rate, len(samples)) == (RATE, writer.samples)
    assert np.abs(samples).max() == pytest.approx(0.6, abs=0.1)


def test_too_loud_samples_are_clipped(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a.wav", RATE, *output_format(Path("a.wav")))
    writer.write(np.array([2.0, -2.0], np.float32))
    writer.close()
    np.testing.assert_allclose(read_all(tmp_path / "a.wav")[1][:, 0], [1, -1], atol=1e-4)


@pytest.mark.parametrize("name", ["a.mp4", "a"])
def test_unknown_output_suffix(name: str) -> None:
    with pytest.raises(InputError, match=r"\.wav, \.flac"):
        output_format(Path(name))


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from streamcodec.audiofile import OUTPUT_FORMATS, RecordingWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for container, coding in OUTPUT_FORMATS.values():
    try:
        writer = RecordingWriter(Path(sys.argv[1]) / coding, 16_000, container, coding)
        for _ in range(100):
            writer.write(np.random.uniform(-1, 1, 1600).astype(np.float32))
        writer.close()
    except OSError as error:
        print(container, "failed:", error)
"""


def test_full_disk_is_an_os_error(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)], capture_output=True, text=True
    )
    assert result.stdout.count("failed:") == len(OUTPUT_FORMATS), result.stdout + result.stderr
