"""Voices and their mix, with a stand-in for the decoder."""

from __future__ import annotations

import numpy as np
import pytest
from streamcodec_call.mixer import BLOCK, KNEE, Lead, Voice, mix, soft_limit
from streamcodec_call.protocol import AudioFrame

FRAME = 1280
OVERLAP = 480


class StandIn:
    """Gives the number in the packet as samples; the first packet is short, as the codec's."""

    frame_size = FRAME

    def __init__(self):
        self.reset()

    def push(self, packet):
        if packet == b"bad":
            raise ValueError("damaged")
        return self._give(int(packet) / 100)

    def conceal(self, following=None):
        return self._give(-1.0 if following is None else -2.0)

    def flush(self):
        return np.full(OVERLAP, 0.5, np.float32)

    def reset(self):
        self.first = True

    def _give(self, value):
        size, self.first = FRAME - OVERLAP * self.first, False
        return np.full(size, value, np.float32)


def play(voice, frames, seconds, decode_seconds=0.02):
    """Push frames at their times; what is heard block by block."""
    heard, done = [], []
    ticks = 16_000 // BLOCK
    for tick in range(round(seconds * ticks)):
        now = tick / ticks
        for at, frame in frames:
            if tick == round(at * ticks):
                voice.push(frame, at)
        for ready, sound in done[:]:
            if now >= ready:
                voice.finish(sound, decode_seconds)
                done.remove((ready, sound))
        work = voice.next_work(now)
        if work is not None:
            done.append((now + decode_seconds - 1e-9, work()))
        heard.append(voice.take())
    return np.concatenate(heard)


def stream(count, packets=None):
    packets = packets or [str(n + 1).encode() for n in range(count)]
    return [(0.08 * (n + 1), AudioFrame(1, n, n * FRAME, packets[n])) for n in range(count)]


def test_a_stream_is_heard_without_gaps():
    voice = Voice(StandIn())
    heard = play(voice, stream(20), 2.5)
    sound = heard[np.flatnonzero(heard)[0] :]
    # As the stream turns out to be steady the delay shrinks, and so does the sound.
    steady = sound[: np.flatnonzero(np.isclose(sound, 0.20))[0]]
    assert (steady > 0).all()
    assert voice.underruns == 0
    assert steady[0] == pytest.approx(0.01)
    assert 0.0 < voice.shortened < 0.03
    missing = 19 * FRAME - OVERLAP - len(steady) - 16_000 * (voice.shortened - voice.lengthened)
    assert abs(missing) <= 1


class Hum(StandIn):
    """Gives a tone of 200 Hz, whose phase goes on from packet to packet."""

    def reset(self):
        super().reset()
        self.at = 0

    def _give(self, value):
        size, self.first = FRAME - OVERLAP * self.first, False
        t = np.arange(self.at, self.at + size) / 16_000
        self.at += size
        return (0.5 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)


def test_a_voice_is_carried_on_in_phase_while_its_next_frame_is_late():
    voice = Voice(Hum())
    # From frame 12 on everything takes 60 ms longer.
    frames = [(at + 0.06 * (n >= 12), frame) for n, (at, frame) in enumerate(stream(24))]
    heard = play(voice, frames, 2.2)
    assert voice.underruns == 0
    assert 0.0 < voice.bridged < 0.12
    first = np.flatnonzero(heard)[0]
    spoken = heard[first : first + round(1.6 * 16_000)]
    # Neither a hole nor a step: the tone's own steps are at most this large.
    assert np.abs(np.diff(spoken)).max() < 1.2 * 0.5 * 2 * np.pi * 200 / 16_000
    levels = np.sqrt(np.mean(spoken[: len(spoken) // 160 * 160].reshape(-1, 160) ** 2, axis=1))
    assert levels[1:].min() > 0.1


def test_a_voice_that_stays_away_fades_and_comes_back_after_an_underrun():
    voice = Voice(Hum())
    frames = [(at + 0.9 * (n >= 12), frame) for n, (at, frame) in enumerate(stream(24))]
    heard = play(voice, frames, 4.0)
    silent = np.flatnonzero(np.abs(heard[16_000:]) < 1e-6)
    assert len(silent) > 1600
    assert voice.bridged < 0.5
    assert np.abs(heard).max() <= 0.51


def test_decoding_that_is_slow_for_one_voice_is_known_to_the_next():
    lead = Lead()
    play(Voice(StandIn(), lead), stream(20), 2.0, decode_seconds=0.06)
    second = Voice(StandIn(), lead)
    play(second, stream(20), 2.0, decode_seconds=0.06)
    assert second.underruns == 0
    assert second.bridged < 0.061


def test_the_delay_is_short():
    heard = play(Voice(StandIn()), stream(20), 2.5)
    # Frame 10's sound ends at 0.88 s; 30 ms of overlap, decoding and margins come on top.
    began = np.flatnonzero(np.isclose(heard, 0.11))[0] / 16_000
    assert began - 0.88 < 0.03 + 0.02 + 0.05


def test_slow_decoding_raises_the_lead():
    voice = Voice(StandIn())
    play(voice, stream(40), 4.0, decode_seconds=0.06)
    assert voice.delay > 0.06
    before = voice.underruns
    assert before <= 2


def test_damaged_packets_are_concealed():
    voice = Voice(StandIn())
    heard = play(voice, stream(5, [b"1", b"2", b"bad", b"4", b"5"]), 1.0)
    assert voice.damaged == 1
    assert (heard == -1.0).sum() >= FRAME


def test_silence_fades_out_and_starts_anew():
    decoder = StandIn()
    voice = Voice(decoder)
    frames = [*stream(5), (0.48, AudioFrame(1, 5, 5 * FRAME, level=60))]
    heard = play(voice, frames, 1.5)
    assert decoder.first
    tail = np.flatnonzero((heard > 0) & (heard < 0.5) & (heard > 0.06))
    assert len(tail) > 100
    assert (heard[-BLOCK:] == 0).all()


def test_the_limiter_leaves_quiet_sound_alone_and_bounds_loud():
    quiet = np.linspace(-KNEE, KNEE, 101, dtype=np.float32)
    np.testing.assert_array_equal(soft_limit(quiet), quiet)
    loud = soft_limit(np.linspace(-20, 20, 1001))
    assert np.abs(loud).max() <= 1.0
    assert (np.diff(loud) >= 0).all()


def test_a_mix_is_the_sum():
    a, b = np.full(BLOCK, 0.1, np.float32), np.full(BLOCK, 0.2, np.float32)
    np.testing.assert_allclose(mix([a, b]), 0.3, rtol=1e-6)
    assert (mix([]) == 0).all()
