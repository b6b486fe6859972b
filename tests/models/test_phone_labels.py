"""What is made of a recogniser's answers. The recogniser itself is a scripted one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from streamcodec_models.phone_labels import PADDING, PHONES, UNKNOWN, PhoneLabeller, words_of

WORDS = {"one": "W AH N", "two": "T UW", "a.": "EY", "can't": "K AE N T"}
PHONE_FRAMES = 5


class Scripted:
    """Finds what it is told to: each phone of the words takes five frames after the padding."""

    heard: tuple[SimpleNamespace, ...] = ()
    lost_in = ""

    def __init__(self, **options) -> None:
        self.options = options
        self.text = ""
        self.fed: list[bytes] = []

    def lookup_word(self, word):
        return WORDS.get(word)

    def set_align_text(self, text):
        self.text = text

    def set_alignment(self):
        pass

    def reinit_feat(self):
        pass

    def start_utt(self):
        pass

    def process_raw(self, pcm, no_search, full_utt):
        self.fed.append(pcm)

    def end_utt(self):
        if self.lost_in and self.lost_in in self.text:
            raise RuntimeError("no path")

    def seg(self):
        return self.heard or None

    def get_alignment(self):
        start = PADDING
        found = []
        for word in self.text.split():
            phones = []
            for name in WORDS[word].split():
                phones.append(SimpleNamespace(name=name, start=start, duration=PHONE_FRAMES))
                start += PHONE_FRAMES
            found.append(phones)
        return [*found, [SimpleNamespace(name="SIL", start=start, duration=2)]]


def segment(word: str, prob: float, first: int, last: int) -> SimpleNamespace:
    return SimpleNamespace(
        word=word, prob=prob, start_frame=PADDING + first, end_frame=PADDING + last
    )


@pytest.fixture
def labeller(monkeypatch: pytest.MonkeyPatch) -> PhoneLabeller:
    monkeypatch.setattr(Scripted, "heard", ())
    monkeypatch.setattr(Scripted, "lost_in", "")
    module = ModuleType("pocketsphinx")
    module.Decoder = Scripted
    module.get_model_path = lambda name: name
    monkeypatch.setitem(sys.modules, "pocketsphinx", module)
    return PhoneLabeller()


def spelled(labels: np.ndarray) -> str:
    """Runs of labels, named."""
    changes = np.flatnonzero(np.diff(labels, prepend=99))
    return " ".join("?" if labels[i] == UNKNOWN else PHONES[labels[i]] for i in changes)


def samples(frames: int) -> np.ndarray:
    return np.zeros(160 * frames + 100, np.int16)


def test_words_of_a_transcript() -> None:
    assert words_of("He can't, SAY: twenty-one 'A.'") == [
        "he",
        "can't",
        "say",
        "twenty",
        "one",
        "'a.'",
    ]
    assert words_of("!? 7") == []


def test_a_transcript_is_aligned(labeller: PhoneLabeller) -> None:
    labels = labeller.label(samples(40), "ONE, two")
    assert labels is not None
    assert (labels.dtype, len(labels)) == (np.int8, 40)
    assert spelled(labels) == "W AH N T UW SIL ?"
    assert (labels[:5] == PHONES.index("W")).all()
    assert not labeller._recogniser.fed


def test_letters_and_quotation_marks(labeller: PhoneLabeller) -> None:
    labels = labeller.label(samples(45), "A 'one' can't")
    assert labels is not None
    assert spelled(labels).startswith("EY W AH N K AE N")


def test_without_transcript_only_sure_words_count(
    labeller: PhoneLabeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = [
        segment("<s>", 1.0, -PADDING, -1),
        segment("one", 0.9, 0, 14),
        segment("two(2)", 0.2, 15, 24),
        segment("<sil>", 0.1, 25, 26),
        segment("[NOISE]", 0.1, 27, 28),
        segment("</s>", 1.0, 29, 39),
    ]
    monkeypatch.setattr(Scripted, "heard", heard)
    for transcript in ("", "one three"):  # "three" is not in the dictionary
        labels = labeller.label(samples(40), transcript)
        assert labels is not None
        assert spelled(labels) == "W AH N ? SIL ?"
        assert (labels[15:25] == UNKNOWN).all()


@pytest.mark.parametrize(
    "heard",
    [
        [],
        [segment("<s>", 1.0, 0, 10), segment("<sil>", 1.0, 11, 30)],
        [segment("one", 0.4, 0, 14), segment("two", 0.5, 15, 24)],
    ],
)
def test_what_is_not_understood_has_no_labels(
    heard: list, labeller: PhoneLabeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "heard", heard)
    assert labeller.label(samples(40)) is None


def test_a_transcript_that_does_not_fit_has_no_labels(
    labeller: PhoneLabeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "lost_in", "two")
    assert labeller.label(samples(40), "one two") is None
    assert labeller.label(samples(40), "one") is not None


def test_digital_silence_gets_noise_the_same_each_time(labeller: PhoneLabeller) -> None:
    for _ in range(2):
        labeller.label(samples(40), "one")
    first, *others = labeller._aligner.fed
    assert all(other == first for other in others)
    pcm = np.frombuffer(first, np.int16)
    assert len(pcm) == len(samples(40)) + 2 * 160 * PADDING
    assert 2.5 < pcm.std() < 3.5
