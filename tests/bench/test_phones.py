import pytest

from bench.clips import Clip
from bench.phones import PhoneErrors, phone_distance, read_dictionary

ONE = [("W", "AH", "N"), ("HH", "W", "AH", "N")]
TWO = [("T", "UW")]


@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        ("W AH N T UW", 0),
        ("HH W AH N T UW", 0),  # the second pronunciation
        ("W AH N T IY", 1),
        ("W AH T UW", 1),
        ("W AH N S T UW", 1),
        ("", 5),
        ("K K K K K K K K", 8),
    ],
)
def test_distance_counts_edits_to_the_nearest_reading(heard, errors):
    assert phone_distance(heard.split(), [ONE, TWO]) == errors


@pytest.fixture
def metric(tmp_path):
    path = tmp_path / "words.dict"
    path.write_text("one W AH N\none(2) HH W AH N\ntwo T UW\na. EY\n")
    metric = PhoneErrors()
    metric.__dict__["_dictionary"] = read_dictionary(path)  # in place of PocketSphinx's own
    return metric


def test_dictionary_gathers_pronunciations(metric):
    assert metric._dictionary == {"one": ONE, "two": TWO, "a.": [("EY",)]}


def test_transcripts_become_pronunciations(metric):
    assert metric.reference("ONE, TWO") == [ONE, TWO]
    assert metric.reference("one-two") == [ONE, TWO]
    assert metric.reference("A") == [[("EY",)]]


@pytest.mark.parametrize("transcript", ["", "...", "ONE THREE"])
def test_clips_without_reference_are_left_out(metric, babble, transcript):
    assert not metric.applies_to(Clip("x.wav", babble, "", transcript))


def test_errors_and_phones_are_counted_apart(metric, clip, monkeypatch):
    monkeypatch.setattr(metric, "recognise", lambda pcm: ["W", "AH", "N", "T"])
    assert metric.score(clip, clip.sound) == {"phone_errors": 1.0, "reference_phones": 5.0}
