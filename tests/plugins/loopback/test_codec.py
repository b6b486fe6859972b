"""The real codec in a loop: settings change in the midst of a stream, and loss is survived."""

from __future__ import annotations

import time

import numpy as np
import pytest
from streamcodec_loopback.codec import PRIMING_FRAMES, CodecPath
from streamcodec_loopback.settings import LoopbackSettings

from streamcodec.errors import InputError
from tests.signals import real_speech

AMPLE = 10.0


def frames(codec, seconds):
    sound = real_speech(seconds)
    return [sound[i : i + codec.frame_size] for i in range(0, len(sound) - 1280, codec.frame_size)]


def levels(sound):
    """Level contour, one value for each 20 ms."""
    power = np.square(sound[: len(sound) // 320 * 320].astype(np.float64)).reshape(-1, 320)
    return 10 * np.log10(power.mean(axis=1) + 1e-6)


def likeness(said, heard):
    size = min(len(said), len(heard))
    return np.corrcoef(levels(said[:size]), levels(heard[:size]))[0, 1]


def wait_for_change(codec):
    end = time.monotonic() + 60.0
    while codec._maker is not None and codec._maker.is_alive():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_sound_stays_in_place_while_settings_change():
    codec = CodecPath(LoopbackSettings(complexity=0))
    pieces = frames(codec, 4.0)
    heard, bits = [], []
    for number, frame in enumerate(pieces):
        if number == len(pieces) // 2:
            codec.change(6000, 1)
            wait_for_change(codec)
        coded = codec.push(frame, AMPLE)
        heard.append(coded.sound)
        bits.append(coded.payload_bits)
    half = len(pieces) // 2
    assert (codec.bitrate, codec.complexity) == (6000, 1)
    assert sum(bits[half:]) > 2 * sum(bits[:half])
    said, sound = np.concatenate(pieces), np.concatenate(heard)
    assert len(said) - len(sound) == 480
    assert likeness(said, sound) > 0.93
    around = slice((half - 3) * 1280, (half + 6) * 1280)
    assert likeness(said[around], sound[around]) > 0.85


def test_the_last_of_many_changes_wins():
    codec = CodecPath(LoopbackSettings(complexity=0))
    for bitrate in (1000, 1600, 3200, 6000):
        codec.change(bitrate, 0)
    for frame in frames(codec, 1.0)[: PRIMING_FRAMES + 2]:
        wait_for_change(codec)
        codec.push(frame, AMPLE)
    assert codec._encoder.model.rates[-1] == 6000
    wait_for_change(codec)
    bits = [codec.push(frame, AMPLE).payload_bits for frame in frames(codec, 2.0)]
    assert 1e-3 * sum(bits) / (0.08 * len(bits)) > 3.5


def test_a_search_without_time_gives_up_and_says_so():
    codec = CodecPath(LoopbackSettings(complexity=10))
    (first, second, *_) = frames(codec, 1.0)
    codec.push(first, 0.0)
    hurried = codec.push(second, 0.0)
    assert hurried.curtailed
    assert hurried.encode_seconds < 2.0


def test_lost_packets_are_concealed_and_as_long():
    codec = CodecPath(LoopbackSettings(complexity=0, loss=30.0, burst=2.0, seed=3))
    coded = [codec.push(frame, AMPLE) for frame in frames(codec, 4.0)]
    lost = [c.lost for c in coded]
    assert 0.1 < np.mean(lost) < 0.6
    assert {len(c.sound) for c in coded[1:]} == {codec.frame_size}
    said = np.concatenate(frames(codec, 4.0))
    heard = np.concatenate([c.sound for c in coded])
    assert likeness(said, heard) > 0.5


def test_reset_begins_anew():
    codec = CodecPath(LoopbackSettings(complexity=0, low_delay=True))
    assert codec.frame_size == 640
    pieces = frames(codec, 0.5)
    first = [codec.push(frame, AMPLE) for frame in pieces]
    codec.conceal()
    codec.reset()
    again = [codec.push(frame, AMPLE) for frame in pieces]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.sound, other.sound)


@pytest.mark.parametrize(
    "wrong", [{"bitrate": 1}, {"complexity": 11}, {"vocoder": "none"}, {"loss": 200.0}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(InputError):
        CodecPath(LoopbackSettings(**wrong))
