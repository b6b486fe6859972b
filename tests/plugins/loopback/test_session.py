"""The codec's thread between two rings, step by step and as a thread."""

from __future__ import annotations

import time

import numpy as np
import pytest
from streamcodec_loopback.engine import LoopbackEngine
from streamcodec_loopback.errors import LoopbackError
from streamcodec_loopback.loss import PacketLoss
from streamcodec_loopback.ring import SampleRing
from streamcodec_loopback.session import BACKLOG_PACKETS, DelayMeter, LoopbackSession

from tests.plugins.loopback.fakes import FRAME, OVERLAP, RATE, DelayCodec, noise
from tests.plugins.loopback.test_ring import capture, play


class Changeable(DelayCodec):
    """What a session asks of a codec beyond sound."""

    rates = (1000, 1600, 2000, 3200, 6000)
    model_name, algorithmic_delay = "a-model", 0.11

    def __init__(self):
        super().__init__()
        self.loss = PacketLoss(7.0)
        self.bitrate, self.complexity = 2000, 6

    def change(self, bitrate, complexity):
        self.bitrate, self.complexity = bitrate, complexity


@pytest.fixture
def session():
    codec = Changeable()
    engine = LoopbackEngine(codec, RATE, RATE)
    made = LoopbackSession(engine, codec, SampleRing(RATE, 2.0), SampleRing(RATE, 2.0))
    made._began = time.monotonic()
    return made


def test_a_packet_goes_from_ring_to_ring(session):
    sound = noise(1.0)
    parts = []
    for start in range(0, len(sound) - FRAME, FRAME):
        capture(session.source, sound[start : start + FRAME])
        session._step()
        parts.append(play(session.sink, FRAME)[:, 0])
    assert session.source.waiting == 0
    assert session.sink.counts.events == 0
    # Silence for the queue's depth, then the sound, hardly bent.
    out = np.concatenate(parts)
    lead = np.flatnonzero(np.abs(out) > 1e-3)[0]
    assert 0.02 * RATE < lead < 0.1 * RATE + OVERLAP
    best = max(
        np.corrcoef(out[lead + d : lead + d + 2000], sound[:2000])[0, 1] for d in range(-60, 60)
    )
    assert best > 0.95
    assert np.abs(out[lead:]).max() == pytest.approx(0.5 * np.abs(sound).max(), rel=0.1)


def test_input_that_would_be_too_late_is_left_out(session):
    capture(session.source, noise(0.08))
    session._step()
    capture(session.source, noise(1.0))
    session._step()
    assert session.source.waiting <= session.engine.needed
    session._step()
    assert session.engine.figures.packets == 2
    assert session.report()["skipped_ms"] > 1e3 * (1.0 - (BACKLOG_PACKETS + 1) * 0.08)


def test_the_delay_is_that_of_the_stamps(session):
    """A microphone and a speaker on one clock, in blocks of 10 ms; the speaker adds 20 ms."""
    sound = noise(6.0)
    began = 1000.0
    for number in range(len(sound) // 160):
        now = began + number / 100
        capture(session.source, sound[160 * number : 160 * number + 160], adc=now, now=now + 0.01)
        if session.source.waiting >= session.engine.needed:
            session._step()
        play(session.sink, 160, dac=now + 0.01 + 0.02)
    # The last word is in what is played: find when, without stamps.
    waiting = session.queued
    position = session.engine.position
    expected = (len(sound) / RATE + 0.02 + waiting) - position
    assert session.delay.now == pytest.approx(expected, abs=0.012)


def test_extremes_count_once_settled():
    meter = DelayMeter()
    assert meter.mean is None
    meter.add(0.0, 9.0, settled=False)
    assert meter.now == 9.0
    assert meter.most is None
    for _ in range(200):
        meter.add(1.0, 1.2, settled=True)
    assert meter.mean == pytest.approx(0.2)
    assert meter.least == pytest.approx(0.2, abs=0.01)


def test_keys_step_through_what_there_is(session):
    codec = session.codec
    session.step_bitrate(1)
    assert codec.bitrate == 3200
    for _ in range(9):
        session.step_bitrate(-1)
    assert codec.bitrate == 1000
    for _ in range(9):
        session.step_complexity(1)
    assert codec.complexity == 10
    session.step_complexity(-1)
    assert codec.complexity == 9
    seen = [codec.loss.percent]
    for _ in range(5):
        session.step_loss()
        seen.append(codec.loss.percent)
    assert seen == [7.0, 10.0, 20.0, 0.0, 5.0, 7.0]
    session.toggle_bypass()
    assert session.engine.bypass


def test_the_thread_runs_until_it_is_stopped(session):
    session.warm_up()
    assert session.engine.figures.packets == 0
    session.start()
    capture(session.source, noise(0.5))
    end = time.monotonic() + 20.0
    while session.engine.figures.packets < 1 and time.monotonic() < end:
        time.sleep(0.01)
    session.stop()
    session.check()
    assert session.engine.figures.packets >= 1
    assert session.report()["model"] == "a-model"


def test_a_codec_that_fails_ends_the_session_and_is_told(session):
    def fail(frame, allowed):
        raise ValueError("this is no sound")

    session.codec.push = fail
    session.start()
    capture(session.source, noise(0.1))
    session._thread.join(20.0)
    with pytest.raises(LoopbackError, match="the codec failed: ValueError: this is no sound"):
        session.check()
    session.stop()
