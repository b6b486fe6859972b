import json

import numpy as np
import pytest
import soundfile

from bench.clips import Clip
from bench.signals import SAMPLE_RATE
from bench.speech_quality import main, slow_subset


@pytest.fixture
def folder(tmp_path, babble):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name, gain in (("a", 1.0), ("b", 0.5)):
        soundfile.write(recordings / f"{name}.wav", gain * babble, SAMPLE_RATE)
    (recordings / "manifest.tsv").write_text("file\tspeaker\na.wav\tann\nb.wav\tbob\n")
    return recordings


def run(folder, capsys, *arguments):
    status = main([str(folder), "--codec", "none", *arguments])
    return status, capsys.readouterr()


def test_table_caption_and_json(folder, capsys, tmp_path):
    out = tmp_path / "deep" / "out.json"
    status, shown = run(
        folder, capsys, "--peers", "identity", "--metrics", "pesq,stoi", "--out", str(out)
    )
    assert status == 0
    header, narrow, wide, *rest = shown.out.splitlines()
    assert header.split()[:2] == ["codec", "kbit/s"]
    assert narrow.split()[:2] == ["identity8k", "128.00"]
    assert wide.split()[:4] == ["identity", "256.00", "4.50±0.00", "4.55±0.00"]
    assert "2 clips, 0.1 min, 2 speakers" in "\n".join(rest)
    document = json.loads(out.read_text())
    assert [clip["speaker"] for clip in document["clips"]] == ["ann", "bob"]
    assert len(document["results"]) == 4
    assert document["results"][2]["values"]["stoi"] == 1.0
    assert document["rows"][1]["estimates"]["pesq_nb_raw"]["value"] == pytest.approx(4.5, abs=1e-3)


def test_a_missing_peer_is_reported(folder, capsys):
    status, shown = run(folder, capsys, "--peers", "identity,lyra_3200", "--metrics", "stoi")
    assert status == 0
    assert "lyra_3200: not available: no models given" in shown.out


def test_nothing_to_run_is_a_failure_that_says_why(folder, capsys):
    status, shown = run(folder, capsys, "--peers", "lyra_3200", "--metrics", "stoi")
    assert status == 1
    assert "not available" in shown.out


def test_what_cannot_be_measured_is_null(tmp_path, capsys):
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), SAMPLE_RATE)
    out = tmp_path / "out.json"
    status, shown = run(
        tmp_path, capsys, "--peers", "identity8k", "--metrics", "pesq", "--out", str(out)
    )
    assert status == 0
    assert "PESQ" not in shown.out.splitlines()[0]
    assert json.loads(out.read_text())["results"][0]["values"]["pesq_wb"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "mp3"], "unknown peer"),
        (["--metrics", "mushra"], "unknown metric"),
        (["--codec", "mp3"], "unknown codec"),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(folder, capsys, arguments, message):
    status, shown = run(folder, capsys, *arguments)
    assert status == 2
    assert message in shown.err


def test_a_folder_without_recordings_is_refused(tmp_path, capsys):
    status, shown = run(tmp_path, capsys)
    assert status == 2
    assert "no recordings" in shown.err


def test_slow_subset_is_the_smallest_that_is_large_enough():
    clips = [Clip(f"{i}", np.full(4, i, np.float32), f"{i % 4}") for i in range(40)]
    step, subset = slow_subset(clips, 12)
    assert (step, len(subset)) == (4, 12)  # ten clips a speaker: 3 of each
    assert slow_subset(clips, 0) == (1, {clip.identity for clip in clips})
    assert slow_subset(clips, 100)[0] == 1
    alone = [Clip(f"{i}", np.full(4, i, np.float32), f"{i}") for i in range(5)]
    assert slow_subset(alone, 3) == (1, {clip.identity for clip in alone})
