"""Recordings: both sides whole, or nothing and a reason."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import soundfile
from streamcodec_loopback.recorder import Recorder


def test_both_sides_are_written(tmp_path):
    left = np.linspace(-0.5, 0.5, 1000).astype(np.float32)
    with Recorder(str(tmp_path / "a"), 16_000, 48_000) as recorder:
        assert not recorder.paths[0].exists()
        for i in range(0, 1000, 100):
            recorder.captured(left[i : i + 100])
            recorder.played(np.full(300, 0.25, np.float32))
    sound, rate = soundfile.read(tmp_path / "a-in.wav")
    assert rate == 16_000
    np.testing.assert_allclose(sound, left, atol=1e-4)
    sound, rate = soundfile.read(tmp_path / "a-out.wav")
    assert (rate, len(sound)) == (48_000, 3000)


def test_an_exception_leaves_what_was_there(tmp_path):
    (tmp_path / "a-in.wav").write_text("before")

    def fail():
        with Recorder(str(tmp_path / "a"), 16_000, 16_000) as recorder:
            recorder.captured(np.zeros(100, np.float32))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a-in.wav"]
    assert (tmp_path / "a-in.wav").read_text() == "before"


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="no such folder"),
        Recorder(str(tmp_path / "no" / "a"), 16_000, 16_000),
    ):
        pytest.fail("it should not have been entered")


def test_a_full_disk_ends_the_recording_and_is_told(tmp_path):
    def record():
        with Recorder(str(tmp_path / "a"), 16_000, 16_000) as recorder:
            for _ in range(100):
                recorder.played(np.zeros(1000, np.float32))
                recorder.captured(np.zeros(10, np.float32))

    # Files may not grow beyond this: writing fails as it does on a full disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"a-out\.wav: cannot be written"):
            record()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
