import numpy as np
import pytest
import soundfile

from bench.clips import Clip, every_kth, load_clips, read_manifest


@pytest.fixture
def folder(tmp_path):
    time = np.arange(48000) / 48000
    tone = 0.25 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "b.wav", np.stack([tone, tone], axis=1), 48000)
    soundfile.write(tmp_path / "a.flac", tone[:16000], 16000)
    soundfile.write(tmp_path / "c.ogg", tone[:8000], 8000)
    (tmp_path / "notes.txt").write_text("not a recording")
    (tmp_path / "manifest.tsv").write_text('file\tspeaker\ttranscript\nb.wav\tann\tSAY "A\n')
    return tmp_path


def test_recordings_of_any_rate_become_mono_at_16_khz(folder):
    clips = load_clips(folder)
    assert [clip.name for clip in clips] == ["a.flac", "b.wav", "c.ogg"]
    assert [len(clip.sound) for clip in clips] == [16000, 16000, 16000]
    assert clips[1].sound.dtype == np.float32
    assert np.abs(clips[1].sound).max() == pytest.approx(0.25, abs=0.01)


def test_manifest_adds_speaker_and_transcript(folder):
    first, second, _ = load_clips(folder)
    assert (first.speaker, first.transcript) == ("", "")
    assert (second.speaker, second.transcript) == ("ann", 'SAY "A')


def test_a_limit_spreads_over_the_folder(folder):
    assert [clip.name for clip in load_clips(folder, limit=2)] == ["a.flac", "b.wav"]
    assert len(load_clips(folder, limit=9)) == 3


def test_folders_and_manifests_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recordings"):
        load_clips(tmp_path)
    (tmp_path / "manifest.tsv").write_text("name\tspeaker\nx\ty\n")
    with pytest.raises(ValueError, match="expected a column 'file'"):
        read_manifest(tmp_path / "manifest.tsv")


def test_identity_depends_on_samples_and_transcript(babble):
    clip = Clip("a", babble)
    assert clip.identity == Clip("b", babble.copy(), "someone").identity
    assert clip.identity != Clip("a", babble, transcript="ONE").identity
    assert clip.identity != Clip("a", babble[1:]).identity


def test_every_kth_takes_every_speaker():
    clips = [Clip(f"{i}", np.full(4, i, np.float32), f"speaker {i % 3}") for i in range(12)]
    chosen = [clip for clip in clips if clip.identity in every_kth(clips, 3)]
    assert [clip.name for clip in chosen] == ["0", "1", "2", "9", "10", "11"]
