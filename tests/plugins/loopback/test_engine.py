"""The engine: what comes out is what went in, as late as it says, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from streamcodec_loopback.drift import GROWTH, QueueControl
from streamcodec_loopback.engine import (
    MAX_BRIDGED,
    QUIETEST_DB,
    UTILIZATION,
    LoopbackEngine,
    level_db,
)

from tests.plugins.loopback.fakes import FRAME, OVERLAP, RATE, DelayCodec, noise

HALF = 48  # of the output's resampler
LEAST_SLACK = QueueControl(FRAME / RATE).least


def settled():
    """A queue that is neither empty nor too full."""
    return LEAST_SLACK


def engine_for(input_rate=RATE, output_rate=RATE, **options):
    return LoopbackEngine(DelayCodec(), input_rate, output_rate, **options)


def through(engine, sound, size, queued=settled):
    return np.concatenate(
        [engine.push(sound[i : i + size], queued) for i in range(0, len(sound), size)]
    )


@pytest.mark.parametrize("size", [1, 160, 1280, 5000])
def test_sound_comes_back_whatever_the_blocks(size):
    sound = noise(0.5 if size == 1 else 2.0)
    got = through(engine_for(), sound, size)
    np.testing.assert_allclose(got, 0.5 * sound[: len(got)], atol=1e-5)
    packets = len(sound) // FRAME
    assert len(got) == packets * FRAME - OVERLAP - HALF


@pytest.mark.parametrize("rates", [(48_000, 44_100), (44_100, 48_000), (16_000, 48_000)])
def test_positions_are_true_at_any_rates(rates):
    """The last output lies where ``position`` says: seen by a ramp, whose value is its time."""
    engine = engine_for(*rates)
    ramp = np.linspace(0.0, 1.0, rates[0], dtype=np.float32)  # one second
    out = through(engine, ramp, 441)
    # The next output would be one step behind the last.
    expected = out[-1] / 0.5 + 1.0 / rates[1]
    assert engine.position == pytest.approx(expected, abs=2e-4)


def test_needed_completes_a_packet():
    for rate in (16_000, 44_100, 48_000):
        engine = engine_for(rate)
        for count in range(1, 20):
            while engine.figures.packets < count:
                needed = engine.needed
                assert needed >= 1
                engine.push(np.zeros(needed, np.float32), settled)
            assert engine.needed <= 0.085 * rate


def test_bypass_is_as_late_as_the_codec_and_fades_over():
    engine = engine_for()
    sound = noise(3.0)
    parts = [through(engine, sound[:16_000], 160)]
    engine.bypass = True
    parts.append(through(engine, sound[16_000:32_000], 160))
    engine.bypass = False
    parts.append(through(engine, sound[32_000:], 160))
    got = np.concatenate(parts)
    gain = got / np.where(np.abs(sound[: len(got)]) < 1e-3, np.nan, sound[: len(got)])
    assert np.nanmedian(gain[:14_000]) == pytest.approx(0.5, abs=1e-3)
    assert np.nanmedian(gain[18_000:30_000]) == pytest.approx(1.0, abs=1e-3)
    assert np.nanmedian(gain[34_000:]) == pytest.approx(0.5, abs=1e-3)
    assert np.nanmin(gain) > 0.45
    assert np.nanmax(gain) < 1.05


def test_the_search_gets_what_the_queue_can_spare():
    engine = engine_for()
    through(engine, noise(0.5), 160, queued=lambda: 0.06)
    allowed = engine.codec.allowed
    assert allowed[0] == pytest.approx(UTILIZATION * engine.packet_seconds - 0.01)
    assert allowed[-1] == pytest.approx(0.06 - 0.01 - LEAST_SLACK / 2, abs=1e-3)
    through(engine, noise(0.2), 160, queued=lambda: 0.0)
    assert engine.codec.allowed[-1] < 0
    assert engine.figures.deadline_misses > 0


def test_an_empty_queue_is_filled_before_the_sound():
    engine = engine_for()
    first = engine.push(np.zeros(FRAME, np.float32), lambda: 0.0)
    assert len(first) / RATE == pytest.approx(GROWTH * LEAST_SLACK + FRAME / RATE, abs=5e-3)
    engine.push(np.full(FRAME, 0.5, np.float32), settled)
    out = engine.push(np.full(FRAME, 0.5, np.float32), lambda: 0.0)
    # What the resampler held comes first.
    silent = np.flatnonzero(np.abs(out[HALF:]) > 0.1)[0] + HALF
    assert silent / RATE == pytest.approx(engine.control.target, abs=5e-3)


def test_input_that_does_not_come_is_bridged_for_a_while():
    engine = engine_for()
    assert not len(engine.bridge())  # nothing has been heard yet
    through(engine, noise(0.5), 160)
    sounds = [engine.bridge() for _ in range(MAX_BRIDGED + 3)]
    assert [len(s) for s in sounds] == [FRAME] * MAX_BRIDGED + [0] * 3
    assert engine.figures.bridged == MAX_BRIDGED
    through(engine, noise(0.2), 160)
    assert len(engine.bridge()) == FRAME


def test_skipped_input_moves_the_position():
    engine = engine_for(48_000)
    through(engine, noise(1.0, 48_000), 480)
    before = engine.position
    engine.skip(4800)
    assert engine.position == pytest.approx(before + 0.1)
    assert engine.figures.skipped_seconds == pytest.approx(0.1)


def test_what_is_no_sound_does_not_end_the_stream():
    engine = engine_for()
    bad = np.array([np.nan, np.inf, -np.inf, 1e30] * 800, np.float32)
    out = through(engine, bad, 160)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0


def test_reset_forgets():
    engine = engine_for(48_000, 44_100)
    sound = noise(1.0, 48_000)
    first = through(engine, sound, 480)
    engine.bridge()
    engine.skip(100)
    engine.reset()
    assert engine.position == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_array_equal(through(engine, sound, 480), first)


def test_levels_are_decibels_under_full_scale():
    assert level_db(np.zeros(10, np.float32)) == QUIETEST_DB
    assert level_db(np.full(10, 0.1, np.float32)) == pytest.approx(-20.0, abs=1e-3)
    assert level_db(np.full(10, 1.0, np.float32)) == 0.0


@pytest.mark.parametrize("ppm", [-300, 300])
def test_two_cards_of_different_clocks_play_for_minutes_without_a_gap(ppm):
    """A speaker that is ``ppm`` faster than the microphone, in blocks of 10 ms, simulated."""
    engine = engine_for(RATE, 48_000)
    rng = np.random.default_rng(4)
    waiting = 0.0  # samples in front of the speaker

    def queued():
        return waiting / 48_000

    gaps = 0
    delays = []
    block = np.zeros(160, np.float32)
    ready = None
    for number in range(18_000):  # 10 ms of the microphone's each
        taken = 480 * (1 + 1e-6 * ppm)
        gaps += waiting < taken and number > 20
        waiting = max(0.0, waiting - taken)
        # A packet's sound arrives 30 to 40 ms after its last sample.
        if ready is not None and number >= ready[0]:
            sound = engine.push(ready[1], queued)
            waiting += len(sound)
            delays.append(waiting / 48_000 + number / 100 - engine.position)
            ready = None
        if number % 8 == 7:
            ready = (number + rng.integers(3, 5), np.tile(block, 8))
    assert gaps == 0
    late = np.array(delays[len(delays) // 2 :])
    assert late.max() - late.min() < 0.04
    assert engine.figures.packets >= 18_000 // 8 - 1
