import numpy as np
import pytest

from bench.signals import (
    SAMPLE_RATE,
    active_level,
    align,
    delay_of,
    fit_length,
    resample,
    set_active_level,
    to_int16,
)


@pytest.mark.parametrize("delay", [-700, -137, -1, 0, 1, 137, 480, 3000])
def test_alignment_corrects_a_known_delay(babble, delay):
    late = np.pad(babble, (delay, 0)) if delay >= 0 else babble[-delay:]

    assert delay_of(late, babble) == delay
    aligned = align(late, babble)

    assert len(aligned) == len(babble)
    first = max(0, -delay)
    np.testing.assert_array_equal(aligned[first:], babble[first:])
    assert not aligned[:first].any()


def test_alignment_survives_noise_and_another_gain(babble):
    noise = np.random.default_rng(3).standard_normal(len(babble) + 250).astype(np.float32)
    late = 0.4 * np.pad(babble, (250, 0)) + 0.005 * noise
    assert delay_of(late.astype(np.float32), babble) == 250


def test_alignment_of_silence_moves_nothing(babble):
    silence = np.zeros(1000, np.float32)
    assert delay_of(silence, babble) == 0
    assert delay_of(babble, silence) == 0


def test_active_level_of_a_steady_tone_is_its_rms():
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    tone = (0.1 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    assert active_level(tone) == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.1)


def test_active_level_passes_over_pauses():
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    tone = (0.1 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    with_pause = np.concatenate([tone, np.zeros(12 * SAMPLE_RATE, np.float32)])
    # The hangover counts 0.2 s of the pause as active: 10 log10(4.2 / 4) = 0.2 dB.
    assert active_level(with_pause) == pytest.approx(active_level(tone), abs=0.4)


def test_level_is_set_and_silence_left_alone(babble):
    assert active_level(set_active_level(babble, -26.0)) == pytest.approx(-26.0, abs=0.05)
    silence = np.zeros(100, np.float32)
    assert active_level(silence) == -np.inf
    np.testing.assert_array_equal(set_active_level(silence), silence)


def test_int16_rounds_and_clips():
    samples = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 1.5 / 32768], np.float32)
    assert to_int16(samples).tolist() == [0, 32767, -32768, 32767, -32768, 2]


def test_length_is_cut_or_filled():
    sound = np.arange(1, 4, dtype=np.float32)
    assert fit_length(sound, 2).tolist() == [1, 2]
    assert fit_length(sound, 5).tolist() == [1, 2, 3, 0, 0]


def test_resampling_there_and_back_keeps_the_low_band_in_place():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    back = resample(resample(tone, SAMPLE_RATE, 8000), 8000, SAMPLE_RATE)
    assert len(back) == len(tone)
    np.testing.assert_allclose(back[2000:-2000], tone[2000:-2000], atol=1e-3)
