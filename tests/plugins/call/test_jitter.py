"""The jitter buffer against simulated networks; every random one has a fixed seed."""

from __future__ import annotations

import random

import pytest
from streamcodec_call.jitter import (
    CAPACITY,
    FIRST_JITTER,
    LATE_SECONDS,
    MARGIN,
    MAX_STRETCH,
    MAX_TARGET,
    PATIENCE_SHARE,
    JitterBuffer,
    Play,
    unwrap,
)
from streamcodec_call.protocol import AudioFrame

FRAME = 0.08
SAMPLES = 1280
TICK = 0.01


class Call:
    """A sender, a network and a player that needs a frame every 80 ms, on one simulated clock."""

    def __init__(self, delays, first_sequence=0, first_timestamp=0, silent=()):
        self.buffer = JitterBuffer(FRAME)
        self.played = []
        self.arrivals = []
        for n, delay in enumerate(delays):
            if delay is not None:
                level = 60 if n in silent else None
                packet = b"" if level else n.to_bytes(4, "big")
                frame = AudioFrame(
                    1, (first_sequence + n) % 2**32, (first_timestamp + n * SAMPLES) % 2**32,
                    packet, level,
                )  # fmt: skip
                self.arrivals.append((FRAME * (n + 1) + delay, frame))
        self.arrivals.sort(key=lambda arrival: arrival[0])
        self.end = FRAME * len(delays) + 1.0
        self.targets = []
        self.stretches = []

    def run(self):
        now, free = 0.0, 0.0
        waiting = list(self.arrivals)
        while now < self.end:
            while waiting and waiting[0][0] <= now:
                arrival, frame = waiting.pop(0)
                self.buffer.push(frame, arrival)
                self.targets.append(self.buffer.target)
            if now >= free - 1e-9:
                decision = self.buffer.pull(now)
                if decision.play is not Play.WAIT:
                    number = int.from_bytes(decision.packet, "big") if decision.packet else None
                    self.played.append((now, decision.play, number))
                    length = FRAME + decision.stretch if decision.play != Play.SILENCE else 0.0
                    free = max(free, now - TICK) + length
                    self.stretches.append(decision.stretch)
            now += TICK
        return self

    @property
    def packets(self):
        return [number for _, play, number in self.played if play is Play.PACKET]

    def delay_of(self, number):
        return next(t for t, _, n in self.played if n == number) - FRAME * (number + 1)


def test_a_steady_stream_is_played_whole_with_little_delay():
    call = Call([0.05] * 100).run()
    assert call.packets == list(range(100))
    assert call.buffer.target == pytest.approx(MARGIN, rel=0.01)
    assert call.delay_of(99) < 0.05 + MARGIN + LATE_SECONDS + TICK


def test_reordered_frames_are_played_in_order():
    delays = [0.02 + 0.1 * (n % 7 == 3) for n in range(100)]
    call = Call(delays).run()
    assert call.packets == sorted(call.packets)
    assert len(call.packets) >= 97


def test_a_lost_frame_is_concealed_in_its_place():
    delays = [0.02] * 50
    delays[20] = None
    call = Call(delays).run()
    kinds = [play for _, play, _ in call.played]
    assert call.packets == [n for n in range(50) if n != 20]
    assert kinds[20] is Play.CONCEAL
    assert call.buffer.counts.concealed >= 1


@pytest.mark.parametrize("seed", range(5))
def test_random_jitter_is_absorbed(seed):
    rng = random.Random(seed)
    call = Call([0.05 + rng.random() * 0.1 for _ in range(400)]).run()
    # The first seconds may be late while the jitter is not yet known.
    assert len([n for n in call.packets if n >= 100]) >= 295
    assert call.delay_of(call.packets[-1]) < 0.35


def test_the_target_jumps_up_with_a_spike_and_sinks_slowly():
    delays = [0.02] * 400
    for n in range(100, 106):
        delays[n] = 0.02 + FRAME * (106 - n)
    call = Call(delays).run()
    assert max(call.targets[50:100]) < 0.01
    assert call.targets[106] > 0.3
    assert call.targets[195] < call.targets[106]
    assert call.targets[195] > 0.05
    assert call.targets[-1] < 0.03


def test_the_delay_shrinks_again_after_a_spike():
    delays = [0.02] * 400
    for n in range(100, 106):
        delays[n] = 0.02 + FRAME * (106 - n)
    call = Call(delays).run()
    assert call.delay_of(110) > 0.2
    assert call.delay_of(399) < 0.02 + MARGIN + LATE_SECONDS + TICK
    # By playing faster: nothing is left out.
    assert call.buffer.counts.skipped == 0
    assert -MAX_STRETCH * FRAME <= min(call.stretches) < 0.0


def test_a_late_frame_is_made_up_for_within_a_frame_and_not_by_inventing_one():
    # From frame 50 on everything takes 15 ms longer.
    call = Call([0.02] * 50 + [0.035] * 50).run()
    assert call.packets == list(range(100))
    assert call.buffer.counts.inserted == 0
    kinds = [play for _, play, _ in call.played]
    assert kinds.index(Play.CONCEAL) == 100  # only when the sender has gone


def test_what_is_far_behind_after_a_stall_is_left_out():
    call = Call([0.02] * 100)
    begin, stall = 40 * FRAME, 1.2
    buffer = call.buffer
    for arrival, frame in call.arrivals:
        buffer.push(frame, arrival)
        if arrival < begin:
            buffer.pull(arrival + FIRST_JITTER + 2 * MARGIN)
    decision = buffer.pull(begin + stall)
    assert decision.play is Play.PACKET
    assert buffer.counts.skipped > stall / FRAME / 2


def test_duplicates_and_late_frames_are_counted():
    buffer = JitterBuffer(FRAME)
    frame = AudioFrame(1, 5, 0, b"x")
    buffer.push(frame, 1.0)
    buffer.push(frame, 1.0)
    assert buffer.counts.duplicates == 1
    assert buffer.pull(1.5).packet == b"x"
    buffer.push(frame, 1.6)
    assert (buffer.counts.duplicates, buffer.counts.late) == (2, 0)
    buffer.push(AudioFrame(1, 4, -SAMPLES % 2**32, b"w"), 1.6)
    assert buffer.counts.late == 1


def test_sequence_and_timestamp_wrap():
    call = Call([0.02] * 60, first_sequence=2**32 - 20, first_timestamp=2**32 - 30 * SAMPLES).run()
    assert call.packets == list(range(60))


def test_unwrap_takes_the_nearest():
    assert unwrap(1, 2**32 - 1) == 2**32 + 1
    assert unwrap(2**32 - 1, 2**32 + 1) == 2**32 - 1
    assert unwrap(7, 7) == 7


def test_silence_ends_a_spurt_and_the_next_begins_in_time():
    delays = [0.02] * 40 + [None] * 30 + [0.02] * 40
    delays[40] = 0.02
    call = Call(delays, silent={40})
    # Sequence numbers count frames sent, so the pause takes none of them.
    call.arrivals = [
        (t, f if f.sequence <= 40 else AudioFrame(1, f.sequence - 29, f.timestamp, f.packet))
        for t, f in call.arrivals
    ]
    call.run()
    last = next(i for i, (_, _, number) in enumerate(call.played) if number == 109)
    kinds = [play for _, play, _ in call.played[: last + 1]]
    assert kinds.count(Play.CONCEAL) == 0
    assert kinds[40] is Play.SILENCE
    assert call.packets == [*range(40), *range(70, 110)]
    assert call.delay_of(70) < 0.02 + FIRST_JITTER + MARGIN + 2 * TICK


def test_a_sender_that_vanishes_is_concealed_for_a_while_only():
    call = Call([0.02] * 20 + [None] * 40).run()
    kinds = [play for _, play, _ in call.played]
    assert 1 <= kinds.count(Play.CONCEAL) <= 5
    assert kinds[-1] is Play.SILENCE


def test_a_clock_that_drifts_is_followed():
    # 0.1 %: far worse than any crystal; 80 ms more transit after 1000 frames.
    call = Call([0.02 + 8e-5 * n for n in range(1500)]).run()
    assert len(call.packets) >= 1490
    assert call.delay_of(call.packets[-1]) < 0.02 + 0.12 + LATE_SECONDS + MARGIN + 2 * TICK


def test_a_restarted_sender_is_heard_again():
    buffer = JitterBuffer(FRAME)
    for n in range(10):
        buffer.push(AudioFrame(1, 1000 + n, n * SAMPLES, b"a"), FRAME * n)
        buffer.pull(FRAME * n + 0.02)
    buffer.push(AudioFrame(1, 500_000, 3_000_000_000, b"new"), 1.0)
    assert buffer.counts.restarts == 1
    assert buffer.pull(1.0 + FIRST_JITTER + 2 * MARGIN).packet == b"new"


def test_what_is_held_is_bounded():
    buffer = JitterBuffer(FRAME)
    for n in range(10 * CAPACITY):
        buffer.push(AudioFrame(1, n, n * SAMPLES, b"x"), 0.0)
        assert buffer.depth <= CAPACITY


@pytest.mark.parametrize("seed", range(10))
def test_hostile_numbers_do_no_harm(seed):
    rng = random.Random(seed)
    buffer, now = JitterBuffer(FRAME), 0.0
    for _ in range(2000):
        now += rng.random() * 0.1
        near = rng.random() < 0.7
        sequence = rng.randrange(300) if near else rng.getrandbits(32)
        timestamp = sequence * SAMPLES if near else rng.getrandbits(32)
        level = rng.choice([None, None, None, 50])
        buffer.push(AudioFrame(1, sequence, timestamp % 2**32, b"x", level), now)
        buffer.pull(now)
        assert buffer.depth <= CAPACITY
        assert 0.0 < buffer.target <= MAX_TARGET


def test_a_concealed_frame_comes_with_the_one_behind_the_gap_if_that_is_here():
    buffer = JitterBuffer(FRAME)
    for n in (0, 3):
        buffer.push(AudioFrame(1, n, n * SAMPLES, b"%d" % n), FRAME * n)
    start = FIRST_JITTER + 3 * MARGIN
    decisions = [buffer.pull(FRAME * n + start) for n in range(4)]
    kinds = [Play.PACKET, Play.CONCEAL, Play.CONCEAL, Play.PACKET]
    assert [d.play for d in decisions] == kinds
    assert [d.following for d in decisions] == [b"", b"3", b"3", b""]


def test_a_frame_with_nothing_behind_it_is_waited_for_and_then_concealed():
    buffer = JitterBuffer(FRAME)
    buffer.push(AudioFrame(1, 0, 0, b"0"), 0.0)
    assert buffer.pull(FIRST_JITTER + MARGIN).play is Play.PACKET
    due = FRAME + FIRST_JITTER + 2 * MARGIN
    assert buffer.pull(due).play is Play.WAIT
    decision = buffer.pull(due + PATIENCE_SHARE * FRAME)
    assert (decision.play, decision.following) == (Play.CONCEAL, b"")


def test_a_frame_that_only_came_late_is_not_missed():
    # Frame 20 comes when its time is over, and the next one behind it, as on any ordered network.
    delays = [0.02] * 20 + [0.2] + [0.12] + [0.04] + [0.02] * 30
    call = Call(delays).run()
    counts = call.buffer.counts
    assert counts.late + counts.concealed >= 1
    assert counts.missed == 0
    assert counts.passed == len(delays) - 1


def test_repetition_alone_raises_no_delay():
    buffer = JitterBuffer(FRAME)
    for n in range(60):
        buffer.push(AudioFrame(1, n, n * SAMPLES, b"x"), FRAME * n)
        if n:
            buffer.push(AudioFrame(1, n - 1, (n - 1) * SAMPLES, b"x"), FRAME * n)
        buffer.pull(FRAME * n + FIRST_JITTER + 2 * MARGIN)
    assert buffer.counts.duplicates == 59
    assert buffer.target < 2 * MARGIN


def test_repeated_frames_fill_single_gaps_and_cost_one_frame_of_delay():
    lost = random.Random(5)
    buffer, played = JitterBuffer(FRAME), []
    arrivals = []
    for n in range(300):
        if lost.random() < 0.2:
            continue
        arrivals += [(FRAME * (n + 1), n)] + [(FRAME * (n + 1), n - 1)] * (n > 0)
    now = 0.0
    free = 0.0
    while now < FRAME * 302:
        while arrivals and arrivals[0][0] <= now:
            at, n = arrivals.pop(0)
            buffer.push(AudioFrame(1, n, n * SAMPLES, b"x"), at)
        if now >= free:
            decision = buffer.pull(now)
            if decision.play is not Play.WAIT:
                played.append(decision.play)
                free = now + FRAME - 1e-6
        now += 0.005
    # Losses of two in a row remain: 4 %, against 20 %.
    assert 0.02 < played.count(Play.CONCEAL) / len(played) < 0.08
    assert buffer.counts.missed == pytest.approx(0.2 * 300, abs=15)
    assert FRAME < buffer.target < FRAME + 3 * MARGIN


def test_a_lost_word_of_silence_costs_nothing_of_what_is_said_next():
    delays = [0.02] * 40 + [None] * 6 + [0.02] * 40
    call = Call(delays)
    # Frame 40 would have been word of silence; the next spurt's numbers follow on it.
    call.arrivals = [
        (t, f if f.sequence < 40 else AudioFrame(1, f.sequence - 5, f.timestamp, f.packet))
        for t, f in call.arrivals
    ]
    call.run()
    assert call.packets == [*range(40), *range(46, 86)]
    assert call.buffer.counts.late == 0


def test_a_repetition_that_was_needed_raises_the_delay_for_long():
    delays = [0.02] * 600
    delays[100] = 0.02 + FRAME + 0.005  # overtaken by the next: its repetition
    call = Call(delays).run()
    assert call.targets[95] < 0.01
    assert call.targets[500] > FRAME
    assert call.buffer.counts.missed == 1
