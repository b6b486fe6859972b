"""The ring and the compiled callbacks, called by address as PortAudio does."""

from __future__ import annotations

import ctypes
import threading
import time

import numpy as np
import pytest
from streamcodec_loopback import ring
from streamcodec_loopback.ring import SampleRing

CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p,
    ctypes.c_ulong, ctypes.c_void_p,
)  # fmt: skip
CAPTURE, PLAY = CALLBACK(ring.capture.address), CALLBACK(ring.play.address)
RATE = 16_000


def capture(to, block, adc=1.0, now=1.5, flags=0):
    block = np.ascontiguousarray(block, np.float32)
    times = np.array([adc, now, 0.0])
    return CAPTURE(block.ctypes.data, None, len(block), times.ctypes.data, flags, to.address)


def play(source, count, channels=1, dac=2.0, now=1.5, flags=0):
    block = np.full((count, channels), np.nan, np.float32)
    times = np.array([0.0, now, dac])
    status = PLAY(None, block.ctypes.data, count, times.ctypes.data, flags, source.address)
    assert status == 0
    return block


def test_what_goes_in_comes_out_across_the_wrap():
    to = SampleRing(RATE, 0.01)  # 256 samples
    rng = np.random.default_rng(1)
    sent, got = [], []
    for _ in range(50):
        block = rng.uniform(-1, 1, rng.integers(1, 120)).astype(np.float32)
        assert to.push(block) == len(block)
        sent.append(block)
        got.append(to.pull(500))
    np.testing.assert_array_equal(np.concatenate(sent), np.concatenate(got))
    assert to.waiting == 0
    assert to.written == to.read == sum(map(len, sent))


def test_a_full_ring_takes_no_more_and_a_dropped_sample_is_gone():
    to = SampleRing(RATE, 0.01)
    assert to.push(np.arange(300)) == 256
    assert to.drop(6) == 6
    assert to.pull(2).tolist() == [6, 7]
    assert to.drop(1000) == 248


def test_channels_are_mixed_down_and_spread():
    to = SampleRing(RATE, 0.1, channels=2)
    block = np.stack([np.full(10, 0.5), np.full(10, -0.1)], axis=1)
    assert capture(to, block) == 0
    np.testing.assert_allclose(to.pull(10), 0.2, atol=1e-7)
    to.push(np.full(10, 0.25))
    np.testing.assert_array_equal(play(to, 10, channels=2), 0.25)


def test_capture_counts_what_does_not_fit():
    to = SampleRing(RATE, 0.01)
    for _ in range(3):
        capture(to, np.ones(100))
    assert to.waiting == 256
    assert to.counts == ring.RingCounts(callbacks=3, events=1, missing=44, driver_events=0)


def test_silence_before_the_first_sound_is_no_underrun():
    to = SampleRing(RATE, 0.1)
    assert not play(to, 160).any()
    assert to.counts.events == 0


def test_a_gap_dies_away_counts_once_and_fades_in_again():
    to = SampleRing(RATE, 0.2)
    to.push(np.full(100, 0.5))
    first = play(to, 160)[:, 0]
    np.testing.assert_array_equal(first[:100], 0.5)
    assert (np.diff(first[99:]) < 0).all()
    rest = np.concatenate([play(to, 160)[:, 0] for _ in range(3)])
    assert abs(rest[-1]) < 0.01
    assert np.abs(np.diff(np.concatenate([first, rest]))).max() < 0.01  # no click
    assert to.counts.events == 1
    assert to.counts.missing == 60 + 480
    to.push(np.full(400, 0.5))
    back = play(to, 400)[:, 0]
    assert np.abs(np.diff(np.concatenate([rest[-1:], back]))).max() < 0.02
    assert back[-1] == pytest.approx(0.5, abs=1e-6)
    play(to, 160)
    assert to.counts.events == 2


def test_stamps_tell_positions_and_times():
    to = SampleRing(RATE, 0.1, latency=0.25)
    assert to.stamp() is None
    capture(to, np.zeros(100), adc=7.0)
    assert to.stamp() == (0, 7.0)
    capture(to, np.zeros(100), adc=7.5)
    assert to.stamp() == (100, 7.5)
    capture(to, np.zeros(100), adc=0.0, now=9.0)  # a driver that does not stamp
    assert to.stamp() == (200, 8.75)
    play(to, 50, dac=0.0, now=9.0)
    assert to.stamp() == (0, 9.25)


def test_what_the_driver_says_is_counted():
    to = SampleRing(RATE, 0.1)
    capture(to, np.zeros(10), flags=0x2)
    play(to, 10, flags=0x4)
    play(to, 10, flags=0x10)  # priming is no loss
    assert to.counts.driver_events == 2


def test_both_sides_at_once_lose_and_swap_nothing():
    """A ctypes call runs without the interpreter's lock: the two really are concurrent."""
    to = SampleRing(RATE, 0.02)
    total = 100_000
    heard = []

    def speaker():
        taken = 0
        while taken < total:
            before = to.read
            block = play(to, 97)[:, 0]
            count = to.read - before
            heard.append(block[:count])
            taken += count
            time.sleep(0.0)  # on a single core the other side would wait for a time slice

    # Gaps are wanted here and their fade-in is not.
    to._memory[ring.FADE_IN_STEP] = 1e9
    to._memory[ring.FADE_IN] = 1.0
    thread = threading.Thread(target=speaker)
    thread.start()
    numbers = (np.arange(total) % 1009).astype(np.float32)
    done = 0
    while done < total:
        done += to.push(numbers[done : done + 61])
        time.sleep(0.0)
    thread.join(60.0)
    got = np.concatenate(heard)
    wrong = got != numbers
    # The first sample after a gap is silenced by the fade; no other may differ.
    assert not got[wrong].any()
    assert wrong.sum() <= to.counts.events
