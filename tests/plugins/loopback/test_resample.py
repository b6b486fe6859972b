"""The resampler: right, streaming, and where it says it is."""

from __future__ import annotations

import numpy as np
import pytest
from streamcodec_loopback.resample import VariableResampler


def tone(rate, seconds=0.5, frequency=1000.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("source", "target"),
    [(16_000, 48_000), (48_000, 16_000), (44_100, 16_000), (16_000, 44_100), (16_000, 8_000)],
)
@pytest.mark.parametrize("frequency", [300.0, 3000.0])
def test_a_tone_stays_the_tone(source, target, frequency):
    got = VariableResampler(source, target).push(tone(source, frequency=frequency))
    wanted = tone(target, frequency=frequency)[: len(got)]
    assert len(got) >= 0.49 * target
    settled = slice(target // 50, None)  # silence lies before the stream
    assert np.abs(got[settled] - wanted[settled]).max() < 2e-3


def test_what_would_fold_back_is_taken_out():
    got = VariableResampler(48_000, 16_000).push(tone(48_000, frequency=8_600.0))
    assert np.abs(got[400:]).max() < 2e-3


def test_equal_rates_pass_unchanged():
    sound = np.random.default_rng(2).uniform(-1, 1, 4000).astype(np.float32)
    got = VariableResampler(16_000, 16_000).push(sound)
    np.testing.assert_allclose(got, sound[: len(got)], atol=1e-6)


@pytest.mark.parametrize("stretch", [1.0, 1.005, 0.9961])
def test_blocks_of_any_size_give_the_same(stretch):
    rng = np.random.default_rng(3)
    sound = rng.uniform(-1, 1, 9000).astype(np.float32)
    whole = VariableResampler(16_000, 44_100).push(sound, stretch)
    parts, resampler = [], VariableResampler(16_000, 44_100)
    while len(sound):
        size = rng.integers(0, 700)
        parts.append(resampler.push(sound[:size], stretch))
        sound = sound[size:]
    got = np.concatenate(parts)
    assert abs(len(got) - len(whole)) <= 1
    shorter = min(len(got), len(whole))
    np.testing.assert_allclose(got[:shorter], whole[:shorter], atol=1e-4)


@pytest.mark.parametrize("stretch", [0.995, 1.0, 1.005])
def test_stretch_changes_the_length(stretch):
    resampler = VariableResampler(16_000, 16_000)
    count = sum(len(resampler.push(np.zeros(1280, np.float32), stretch)) for _ in range(500))
    assert count / (500 * 1280) == pytest.approx(stretch, abs=2e-4)


def test_pending_tells_where_the_next_output_lies():
    resampler = VariableResampler(16_000, 48_000)
    taken = given = 0
    for size in (100, 1, 777, 50, 1280):
        given += len(resampler.push(np.zeros(size, np.float32)))
        taken += size
        assert (taken - resampler.pending) * 3 == pytest.approx(given, abs=1e-6)


def test_reset_forgets():
    resampler = VariableResampler(48_000, 16_000)
    sound = tone(48_000)
    first = resampler.push(sound)
    resampler.reset()
    np.testing.assert_array_equal(resampler.push(sound), first)
