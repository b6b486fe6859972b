"""Sound made longer or shorter by periods of the voice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamcodec_call.stretch import (
    LONGEST,
    PAST,
    SHORTEST,
    SHORTEST_PERIOD,
    last_period,
    stretched,
)

FRAME = 1280
RATE = 16_000


def tone(frequency, samples=FRAME):
    """A buzz with a few harmonics."""
    t = np.arange(samples) / RATE
    return sum(np.sin(2 * np.pi * frequency * k * t) / k for k in (1, 2, 3)).astype(np.float32) / 4


def step_at_seam(sound):
    """Largest step between neighbouring samples."""
    return float(np.abs(np.diff(sound)).max())


@pytest.mark.parametrize("frequency", [80, 120, 220, 390])
@pytest.mark.parametrize("samples", [-320, -130, 130, 320])
def test_a_voice_changes_by_whole_periods_and_without_a_step(frequency, samples):
    sound = tone(frequency)
    changed = stretched(sound, samples)
    change = len(changed) - len(sound)
    period = RATE / frequency
    if abs(samples) >= period:
        assert change != 0
    assert abs(change) <= abs(samples)
    assert change * samples >= 0
    if change:
        periods = change / period
        assert periods == pytest.approx(round(periods), abs=0.12)
    assert step_at_seam(changed) < 1.15 * step_at_seam(sound)


@pytest.mark.parametrize("samples", [-300, 300])
def test_pitch_and_level_stay(samples):
    sound = tone(200)
    changed = stretched(sound, samples)
    assert len(changed) != len(sound)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed)), 8 * RATE))
    assert np.argmax(spectrum) / 8 == pytest.approx(200, abs=4)
    assert np.sqrt(np.mean(changed**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.05)


@pytest.mark.parametrize("samples", [-320, 320])
def test_both_ends_stay_so_that_frames_fit_together(samples):
    sound = tone(150)
    changed = stretched(sound, samples)
    assert changed[0] == sound[0]
    np.testing.assert_array_equal(changed[-SHORTEST:], sound[-SHORTEST:])


def test_silence_changes_as_much_as_is_asked():
    silence = np.zeros(FRAME, np.float32)
    assert len(stretched(silence, -200)) == FRAME - 200
    assert len(stretched(silence, 200)) == FRAME + 200
    assert not stretched(silence, 200).any()


def test_what_resembles_nothing_is_left_alone():
    noise = np.random.default_rng(0).standard_normal(FRAME).astype(np.float32) / 4
    np.testing.assert_array_equal(stretched(noise, 300), noise)


def test_a_frame_too_short_for_a_seam_is_left_alone():
    short = tone(200, 300)
    np.testing.assert_array_equal(stretched(short, -LONGEST), short)
    assert len(stretched(short[:0], 100)) == 0


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2000), st.integers(-2000, 2000), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0)
)
def test_never_more_than_asked_and_always_finite(length, samples, seed, share):
    noise = np.random.default_rng(seed).standard_normal(length)
    sound = (share * tone(170, length) + (1 - share) * 0.1 * noise).astype(np.float32)
    changed = stretched(sound, samples)
    low, high = sorted((length, length + samples))
    assert max(0, low) <= len(changed) <= high
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()


@pytest.mark.parametrize("frequency", [80, 120, 220, 390])
def test_a_voice_is_carried_on_by_whole_periods(frequency):
    sound = tone(frequency)
    past, after = sound[:PAST], sound[PAST:]
    period = last_period(past)
    assert SHORTEST_PERIOD <= len(period) <= LONGEST
    periods = len(period) * frequency / RATE
    assert periods == pytest.approx(round(periods), abs=0.05)
    joined = np.concatenate([past, period, period, after])
    assert step_at_seam(joined) < 1.15 * step_at_seam(sound)


def test_noise_is_not_made_to_buzz():
    noise = np.random.default_rng(4).normal(0, 0.1, PAST).astype(np.float32)
    assert len(last_period(noise)) == LONGEST
    assert np.abs(last_period(np.zeros(PAST, np.float32))).max() == 0.0
