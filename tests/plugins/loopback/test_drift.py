"""The queue's control against simulated clocks, late packets and stalls."""

from __future__ import annotations

import numpy as np
import pytest
from streamcodec_loopback.drift import (
    CUT,
    GROWTH,
    MAX_BEND,
    MAX_SLACK,
    MIN_SLACK,
    NEARLY,
    QueueControl,
)

PACKET = 0.08
LEAST = QueueControl(PACKET).least


class Queue:
    """A speaker whose clock is faster than the microphone's by ``ppm``."""

    def __init__(self, ppm=0.0, jitter=0.0, seed=0):
        self.control = QueueControl(PACKET)
        self.depth = 0.0
        self.dry = 0
        self._played = PACKET * (1 + 1e-6 * ppm)
        self._random = np.random.default_rng(seed)
        self._jitter, self._late = jitter, 0.0

    def packet(self, stall=0.0):
        """Let a packet's time pass; it is ready later than the last by some jitter."""
        late = self._random.uniform(0.0, self._jitter) + stall
        self.depth -= self._played + late - self._late
        self._late = late
        if self.depth < 0.0:
            self.dry += 1
            self.depth = 0.0
        steering = self.control.steer(self.depth)
        self.depth += steering.fill + PACKET * steering.stretch - steering.cut
        return steering

    @property
    def slack(self):
        return self.depth - PACKET


def minutes(queue, count):
    return [queue.packet() and queue.slack for _ in range(round(count * 60 / PACKET))]


@pytest.mark.parametrize("ppm", [-500, -50, 0, 50, 500])
def test_two_clocks_are_kept_together_for_an_hour(ppm):
    queue = Queue(ppm, jitter=0.01)
    slacks = minutes(queue, 60)
    assert queue.dry == 1  # the beginning
    assert queue.control.refills == queue.control.cuts == 0
    settled = slacks[len(slacks) // 10 :]
    assert min(settled) > LEAST - 0.006
    assert max(settled) < LEAST + 0.02
    assert 1e6 * queue.control.bend == pytest.approx(ppm, abs=100)


def test_clocks_further_apart_than_any_are_followed_in_the_end():
    queue = Queue(4000)
    minutes(queue, 5)
    assert queue.dry < 10
    before = queue.dry
    minutes(queue, 10)
    assert queue.dry == before
    assert abs(queue.control.bend) <= MAX_BEND


def test_a_queue_that_ran_dry_is_filled_at_once_and_held_deeper_for_a_while():
    queue = Queue()
    minutes(queue, 1)
    queue.packet(stall=0.2)
    assert queue.control.refills == 1
    assert queue.control.target == pytest.approx(LEAST * GROWTH, rel=0.05)
    minutes(queue, 10)
    assert queue.control.target == pytest.approx(LEAST, rel=0.01)
    assert queue.slack == pytest.approx(LEAST, abs=0.005)


def test_a_machine_that_is_always_late_gets_no_more_than_the_most():
    queue = Queue()
    for _ in range(100):
        queue.packet()
        queue.packet(stall=1.0)
    assert queue.control.target <= MAX_SLACK


def test_sound_that_waits_too_long_is_cut_after_a_look_around():
    queue = Queue()
    minutes(queue, 1)
    queue.depth += 0.5  # as after a stall whose sound came in late
    slacks = minutes(queue, 0.2)
    assert queue.control.cuts > 0
    assert slacks[-1] < LEAST + CUT + 0.01
    assert slacks[10] > 0.4  # not before it has seen two seconds of it
    assert queue.dry == 1


def test_one_late_packet_counts_for_as_long_as_the_window():
    control = QueueControl(PACKET)
    control.steer(0.0)
    control.steer(0.001)
    bends = [control.steer(LEAST).stretch for _ in range(24)]
    assert all(bend > 1.0 for bend in bends)


def test_the_least_slack_grows_with_the_packet_and_has_a_floor():
    assert QueueControl(0.16).least == pytest.approx(2 * LEAST)
    assert QueueControl(0.01).least == MIN_SLACK


def test_a_queue_that_nearly_ran_dry_is_held_deeper_before_it_does():
    control = QueueControl(PACKET)
    control.steer(0.0)
    control.steer(LEAST)
    before = control.target
    control.steer(0.9 * NEARLY * before)
    assert control.target > 1.1 * before
    assert control.refills == 0
    for _ in range(200):
        control.steer(1e-3)
    assert control.target <= MAX_SLACK
