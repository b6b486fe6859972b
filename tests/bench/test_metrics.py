import math

import numpy as np
import pytest

from bench.clips import Clip
from bench.metrics import (
    QUICK,
    MelCepstralDistortion,
    Metric,
    Pesq,
    Stoi,
    all_metrics,
    choose_metrics,
    pesq_lqo,
    pesq_raw,
)


# Computed from P.862.1 with thirty decimals; the last is what `pesq` gives for a perfect copy.
@pytest.mark.parametrize(
    ("raw", "lqo"), [(1.0, 1.16083), (2.0, 1.63179), (3.0, 2.82226), (4.0, 4.15393), (4.5, 4.54864)]
)
def test_raw_and_lqo_convert_both_ways(raw, lqo):
    assert pesq_lqo(raw) == pytest.approx(lqo, abs=1e-5)
    assert pesq_raw(lqo) == pytest.approx(raw, abs=1e-4)


@pytest.mark.parametrize("lqo", [0.999, 4.999, 0.0, -1.0, 5.0, math.nan])
def test_raw_of_an_impossible_lqo_is_nan(lqo):
    assert math.isnan(pesq_raw(lqo))


def test_identity_scores_what_it_should(clip):
    values = Pesq().score(clip, clip.sound)
    assert values["pesq_nb_raw"] == pytest.approx(4.5, abs=0.001)
    assert values["pesq_nb_lqo"] == pytest.approx(4.5486, abs=0.001)
    assert values["pesq_wb"] == pytest.approx(4.6439, abs=0.001)
    assert Stoi().score(clip, clip.sound) == pytest.approx({"stoi": 1.0, "estoi": 1.0}, abs=1e-6)
    assert MelCepstralDistortion().score(clip, clip.sound) == {"mcd": 0.0}


def test_noise_lowers_every_score(clip):
    noise = np.random.default_rng(5).standard_normal(len(clip.sound))
    worse = (clip.sound + 0.02 * noise).astype(np.float32)
    assert Pesq().score(clip, worse)["pesq_nb_raw"] < 4.0
    assert Stoi().score(clip, worse)["estoi"] < 0.99
    assert MelCepstralDistortion().score(clip, worse)["mcd"] > 1.0


def test_distortion_of_a_gain_is_nothing_since_the_first_coefficient_is_left_out(clip):
    values = MelCepstralDistortion().score(clip, 0.9 * clip.sound)
    assert values["mcd"] == pytest.approx(0.0, abs=0.2)


def test_distortion_is_the_difference_of_smoothed_spectra_in_decibels(clip, monkeypatch):
    metric = MelCepstralDistortion()
    bands = (np.arange(metric.BANDS) + 0.5) / metric.BANDS
    flat = np.ones((metric.BANDS, 1))
    # A ripple of 3 dB amplitude, slow enough for 13 coefficients: 3 / sqrt(2) dB rms.
    rippled = 10.0 ** (3.0 * np.cos(4 * np.pi * bands) / 20.0)[:, None]
    spectra = iter([flat, rippled])
    monkeypatch.setattr(metric, "_mel", lambda sound: next(spectra))
    assert metric.score(clip, clip.sound)["mcd"] == pytest.approx(3.0 / np.sqrt(2.0), rel=1e-6)


def test_pesq_without_speech_is_nan():
    silent = Clip("silent.wav", np.zeros(16000, np.float32))
    assert all(math.isnan(value) for value in Pesq().score(silent, silent.sound).values())


def test_metrics_are_chosen_by_name_and_group():
    assert [m.name for m in choose_metrics("stoi,pesq")] == ["pesq", "stoi"]
    assert {m.name for m in choose_metrics("quick")} == set(QUICK)
    assert len(choose_metrics("all")) == len(all_metrics())
    with pytest.raises(ValueError, match="unknown metric 'mushra'"):
        choose_metrics("mushra")


def test_a_missing_package_is_named():
    class Absent(Metric):
        name = "absent"
        columns = ("absent",)
        packages = ("no-such-package",)
        modules = ("no_such_module",)

        def score(self, clip, decoded):
            return {"absent": 0.0}

    assert "no-such-package" in Absent().available()


def test_nothing_applies_to_an_empty_clip():
    assert not Pesq().applies_to(Clip("empty.wav", np.zeros(0, np.float32)))
