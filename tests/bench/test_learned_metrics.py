import math
import sys

import numpy as np
import pytest

from bench.clips import Clip
from bench.learned_metrics import DnsMos, SpeakerSimilarity, Visqol, _without_torchaudio
from bench.signals import SAMPLE_RATE, active_level


class Session:
    """Stands in for the network: remembers its inputs, gives the published mean of 3."""

    def __init__(self):
        self.windows = []

    def run(self, outputs, inputs):
        (window,) = inputs.values()
        self.windows.append(window)
        return [np.array([[3.0, 3.5, 2.5]], np.float32)]


@pytest.mark.parametrize(("seconds", "windows"), [(0.5, 1), (5.0, 1), (9.5, 1), (10.1, 2), (12, 3)])
def test_dnsmos_windows_start_every_second(babble, seconds, windows):
    metric = DnsMos()
    metric._session = Session()
    sound = np.resize(babble, int(seconds * SAMPLE_RATE))
    values = metric.score(Clip("x", sound), sound)
    assert [w.shape for w in metric._session.windows] == [(1, 144160)] * windows
    # The published mappings at those outputs, in the order signal, background, overall.
    assert values["dnsmos_sig"] == pytest.approx(2.912, abs=1e-3)
    assert values["dnsmos_bak"] == pytest.approx(3.623, abs=1e-3)
    assert values["dnsmos_ovrl"] == pytest.approx(2.412, abs=1e-3)


def test_dnsmos_hears_short_sounds_repeated_at_the_listening_level(babble):
    metric = DnsMos()
    metric._session = Session()
    metric.score(Clip("x", babble), babble)
    window = metric._session.windows[0][0]
    np.testing.assert_array_equal(window[: len(babble)], window[len(babble) : 2 * len(babble)])
    assert active_level(window[: len(babble)]) == pytest.approx(-26.0, abs=0.1)


class Encoder:
    def __init__(self):
        self.calls = 0

    def embed_utterance(self, sound):
        self.calls += 1
        vector = np.array([np.abs(sound).mean(), 0.01])
        return vector / np.linalg.norm(vector)


@pytest.fixture
def speaker():
    metric = SpeakerSimilarity()
    metric._encoder = Encoder()
    metric._preprocess = lambda sound: sound[np.abs(sound) > 0.001]
    metric._originals = {}
    return metric


def test_originals_are_embedded_once(speaker, clip):
    for _ in range(2):
        assert speaker.score(clip, clip.sound)["speaker_similarity"] == pytest.approx(1.0)
    assert speaker._encoder.calls == 3


def test_similarity_without_a_voice_is_nan(speaker, clip):
    quiet = np.full(1000, 1e-4, np.float32)
    assert math.isnan(speaker.score(clip, quiet)["speaker_similarity"])
    assert math.isnan(speaker.score(clip, np.zeros(1000, np.float32))["speaker_similarity"])


def test_visqol_that_finds_nothing_is_nan(clip):
    class Api:
        def measure_from_arrays(self, reference, degraded, rate):
            assert reference.dtype == degraded.dtype == np.float64
            raise ValueError("no patches")

    metric = Visqol()
    metric._api = Api()
    assert math.isnan(metric.score(clip, clip.sound)["visqol"])


def test_torchaudio_is_hidden_only_while_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", "the real one")
    with _without_torchaudio():
        assert sys.modules["torchaudio"] != "the real one"
    assert sys.modules["torchaudio"] == "the real one"
    monkeypatch.delitem(sys.modules, "torchaudio")
    with _without_torchaudio():
        assert "torchaudio" in sys.modules
    assert "torchaudio" not in sys.modules
