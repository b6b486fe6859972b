"""Packed corpora and folders, what is held out, what is cropped, and what is refused."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
from streamcodec_models.data import SpeechCorpus, Utterance, decode, hold_out

from streamcodec.errors import InputError

HEAD = "shard\tstart\tlength\tsource\tspeaker\n"


def write(path: Path, sound: np.ndarray, rate: int = 16_000, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, **options)
    return path


def packed(folder: Path, *rows: str, samples: int = 32_000) -> Path:
    """One shard whose samples count up in steps of 16 bits, and a manifest."""
    write(folder / "a.wav", np.arange(samples, dtype=np.int16))
    (folder / "train.tsv").write_text(HEAD + "".join(row + "\n" for row in rows))
    return folder


def utterances(*voices: str) -> list[Utterance]:
    return [Utterance(0, 100 * i, 100, "s", voice) for i, voice in enumerate(voices)]


def test_packed_corpus(tmp_path: Path) -> None:
    folder = packed(tmp_path / "c", "a.wav\t0\t16000\tone\tann", "a.wav\t16000\t8000\tone\tbob")
    corpus = SpeechCorpus(folder, tmp_path / "cache")
    assert [(u.voice, u.start, u.length) for u in corpus.utterances] == [
        ("one/ann", 0, 16_000),
        ("one/bob", 16_000, 8_000),
    ]
    np.testing.assert_array_equal(corpus.sound(corpus.utterances[1]), np.arange(16_000, 24_000))
    assert corpus.hours() == pytest.approx(1.5 / 3600)


def test_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packed(tmp_path / "c", "a.wav\t0\t16000\tone\tann", "a.wav\t16000\t8000\tone\tbob")
    SpeechCorpus(folder, tmp_path / "cache")
    monkeypatch.setattr("streamcodec_models.data.decode", lambda path: pytest.fail("again"))
    SpeechCorpus(str(folder), tmp_path / "cache")
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".npy"]


def test_crops_keep_to_their_speaker(tmp_path: Path) -> None:
    rows = [f"a.wav\t{s}\t4000\tone\t{who}" for s, who in ((0, "x"), (4000, "x"), (8000, "y"))]
    corpus = SpeechCorpus(packed(tmp_path / "c", *rows), tmp_path / "cache")
    stretch = {(u.speaker, u.since, u.until) for u in corpus.utterances}
    assert stretch == {("x", 0, 8000), ("y", 8000, 12_000)}
    for held_out in (False, True):
        low, high = {u.held_out: (u.since, u.until) for u in corpus.utterances}[held_out]
        crops = corpus.crops(3000, 8, np.random.default_rng(0), held_out=held_out)
        for x in np.concatenate(list(islice(crops, 8))):
            # The shard counts up: slope gives the gain, the gain the place.
            rising = x[: np.count_nonzero(x)]
            places = rising / np.diff(rising).mean()
            assert low - 1 <= places.min() <= places.max() <= high


def test_short_speakers_are_filled_with_silence(tmp_path: Path) -> None:
    rows = ["a.wav\t100\t500\tone\tx", "a.wav\t600\t500\tone\ty"]
    corpus = SpeechCorpus(packed(tmp_path / "c", *rows), tmp_path / "cache")
    batch = next(corpus.crops(2000, 4, np.random.default_rng(0)))
    assert batch.shape == (4, 2000)
    assert batch.dtype == np.float32
    assert not batch[:, 500:].any()
    assert batch[:, :500].any(axis=1).all()


def test_same_seed_same_crops(tmp_path: Path) -> None:
    rows = [f"a.wav\t{1000 * i}\t1000\tone\t{i}" for i in range(32)]
    corpus = SpeechCorpus(packed(tmp_path / "c", *rows), tmp_path / "cache")
    first, second, other = (
        np.stack(list(islice(corpus.crops(800, 4, np.random.default_rng(s)), 3))) for s in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_weights_of_sources(tmp_path: Path) -> None:
    rows = ["a.wav\t1\t4000\tlow\tx", "a.wav\t20000\t4000\thigh\ty", "a.wav\t24000\t10\thigh\tz"]
    corpus = SpeechCorpus(packed(tmp_path / "c", *rows), tmp_path / "cache")
    corpus.utterances = [
        Utterance(u.shard, u.start, u.length, u.source, u.speaker, since=u.since, until=u.until)
        for u in corpus.utterances
    ]
    crops = corpus.crops(64, 50, np.random.default_rng(0), {"low": 0.0})
    x = next(crops)
    places = x[:, 0] / np.diff(x, axis=1).mean(axis=1)
    assert (places > 19_000).all()
    with pytest.raises(InputError, match="weight 0"):
        next(corpus.crops(64, 1, np.random.default_rng(0), {"low": 0.0, "high": 0.0}))


def test_one_speaker_in_forty_is_held_out() -> None:
    chosen = hold_out(utterances(*(f"speaker {i}" for i in range(2000)), "speaker 1"))
    assert 30 < sum(u.held_out for u in chosen) < 75
    # By name alone: the same speaker falls on the same side whatever else there is.
    sides = {u.voice: u.held_out for u in chosen}
    some = hold_out(utterances(*(f"speaker {i}" for i in range(0, 2000, 7))))
    assert all(sides[u.voice] == u.held_out for u in some)


@pytest.mark.parametrize("voices", [("a", "b"), ("a", "b", "b"), ("a",) * 3, ("a",) * 100])
def test_something_is_always_held_out_and_something_never(voices: tuple[str, ...]) -> None:
    chosen = hold_out(utterances(*voices))
    assert len(chosen) == len(voices)
    held = [u.held_out for u in chosen]
    assert 0 < sum(held) < len(held)
    if len(set(voices)) > 1:
        assert len({u.voice for u in chosen if u.held_out}) == 1
        assert not {u.voice for u in chosen if u.held_out} & {
            u.voice for u in chosen if not u.held_out
        }


def test_of_a_single_recording_the_end_is_held_out() -> None:
    train, held = hold_out([Utterance(0, 0, 4000, "s", "a", until=4000)])
    assert (train.start, train.length, train.until, train.held_out) == (0, 3900, 3900, False)
    assert (held.start, held.length, held.since, held.held_out) == (3900, 100, 3900, True)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_any_rate_and_channel_count(rate: int, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(rate) / rate)
    sound = decode(write(tmp_path / "a.wav", np.stack([tone, 0 * tone], axis=1), rate))
    assert sound.dtype == np.int16
    assert len(sound) == 16_000
    expected = 0.25 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(sound[800:-800] / 32768, expected[800:-800], atol=2e-3)


def test_too_loud_samples_are_clipped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.array([2.0, -2.0] * 50), subtype="FLOAT")
    np.testing.assert_array_equal(decode(path)[:2], [32767, -32768])


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    sound = np.zeros(16_000)
    sound[8000] = np.nan
    path = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    with pytest.raises(InputError, match=r"a\.wav holds samples that are not finite.*0\.500 s"):
        SpeechCorpus(tmp_path, tmp_path / "cache")
    assert path.exists()
    assert not list((tmp_path / "cache").iterdir())  # nothing half decoded is left


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF, but not really", "not a recording"),
        (b"", "not a recording"),
    ],
)
def test_unreadable_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        SpeechCorpus(tmp_path, tmp_path / "cache")
    assert "a.wav" in str(caught.value)


def test_empty_and_slow_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no sound"):
        decode(write(tmp_path / "a.wav", np.zeros(0)))
    with pytest.raises(InputError, match="4000 Hz, expected 8000"):
        decode(write(tmp_path / "b.wav", np.zeros(10), 4000))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav\t0\t32001\tone\tann", "line 2: samples 0 to 32001 are not inside a.wav"),
        ("a.wav\t-1\t100\tone\tann", "not inside"),
        ("a.wav\t0\t0\tone\tann", "not inside"),
        ("a.wav\t0.5\t100\tone\tann", "whole numbers"),
        ("a.wav\t0\t100", "fewer fields"),
    ],
)
def test_wrong_rows_are_named(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        SpeechCorpus(packed(tmp_path / "c", row), tmp_path / "cache")


def test_wrong_manifests_are_refused(tmp_path: Path) -> None:
    folder = packed(tmp_path / "c")
    with pytest.raises(FileNotFoundError, match="lists no utterances"):
        SpeechCorpus(folder, tmp_path / "cache")
    (folder / "train.tsv").write_text("shard\tstart\na.wav\t0\n")
    with pytest.raises(InputError, match="expected the columns length"):
        SpeechCorpus(folder, tmp_path / "cache")
    (folder / "train.tsv").write_text("name\tvoice\na.wav\tann\n")
    with pytest.raises(InputError, match="expected a column 'shard'"):
        SpeechCorpus(folder, tmp_path / "cache")
    (folder / "train.tsv").write_text(HEAD + "b.wav\t0\t100\tone\tann\n")
    with pytest.raises(FileNotFoundError, match=r"b\.wav"):
        SpeechCorpus(folder, tmp_path / "cache")
