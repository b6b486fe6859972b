"""The browser leg: what is written can be read, and nothing else is."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from streamcodec_call import leg, limits
from streamcodec_call.errors import ProtocolError
from streamcodec_call.leg import Leg, LegHello, build, build_pcm, parse_pcm

HELLO = {"version": 1, "room": "lab", "name": "Zoë", "token": "key", "rate": 48_000}


def entered(now=0.0, **fields):
    leg_ = Leg(now)
    leg_.receive(build("hello", **{**HELLO, **fields}), now)
    return leg_


def told(leg_):
    frames = []
    while len(leg_.outbox):
        frames.append(leg_.outbox.pop())
    return [json.loads(frame) for frame in frames if isinstance(frame, str)]


def test_sound_survives_the_wire_to_within_a_step():
    sound = np.random.default_rng(1).uniform(-1, 1, 320).astype(np.float32)
    data = build_pcm(70_000, sound)
    assert data[:4] == bytes([1, 0]) + (70_000 % 65_536).to_bytes(2, "little")
    assert len(data) == 4 + 640
    assert np.abs(parse_pcm(data) - sound).max() <= 1 / 32768


def test_sound_beyond_full_scale_is_clipped():
    assert parse_pcm(build_pcm(0, np.float32([2.0, -2.0]))).tolist() == [32767 / 32768, -1.0]


def test_the_example_of_the_document():
    data = bytes.fromhex("0100 0201 0100 feff")
    assert build_pcm(258, np.float32([1, -2]) / 32768) == data
    assert (parse_pcm(data) * 32768).tolist() == [1, -2]


def test_levels_have_the_layout_of_the_document():
    data = leg.build_levels(-20.4, {3: -35.0, 258: -500.0})
    assert data == bytes([3, 20, 0, 0, 3, 0, 35, 0, 2, 1, 127, 0])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\x01\0\0", b"\x01\0\0\0", b"\x01\0\0\0\0", b"\x01\0\0\0" + b"x" * 3841,
     b"\x02" * 5000],
)  # fmt: skip
def test_damaged_sound_is_refused(data):
    with pytest.raises(ProtocolError):
        parse_pcm(data)


def test_unknown_types_are_ignored():
    member = entered()
    assert parse_pcm(b"\x09\0\0\0abc") is None
    assert list(member.receive(b"\x09\0\0\0abc", 0.0)) == []
    assert list(member.receive(build("dance", wildly=True), 0.0)) == []
    assert not member.closing


def test_a_hello_is_read():
    assert entered().hello == LegHello(1, "lab", "Zoë", "key", 48_000, False)
    assert "key" not in repr(entered().hello)


def test_of_another_version_only_the_version_is_read():
    member = Leg(0.0)
    member.receive('{"type":"hello","version":7,"rate":"fast"}', 0.0)
    assert member.hello == LegHello(7)


@pytest.mark.parametrize(
    "wrong",
    [{"room": "a b"}, {"room": ""}, {"room": "x" * 65}, {"name": " "}, {"name": "x" * 33},
     {"name": "a\x00b"}, {"name": "a\u202eb"}, {"name": 5}, {"rate": 0}, {"rate": 11_025},
     {"rate": 10**12}, {"rate": "16000"}, {"rate": 16_000.0}, {"token": "t" * 257},
     {"token": None}, {"version": 0}, {"version": True}],
)  # fmt: skip
def test_a_wrong_hello_is_refused(wrong):
    member = entered(**wrong)
    assert member.closing == "malformed"
    (error,) = told(member)
    assert error["type"] == "error"
    assert "\x00" not in error["message"]


@pytest.mark.parametrize("data", [build_pcm(0, np.zeros(320)), "{", "[]", '{"type":5}', "x" * 5000])
def test_what_is_no_hello_closes_a_fresh_connection(data):
    member = Leg(0.0)
    assert list(member.receive(data, 0.0)) == []
    assert member.closing == "malformed"


def test_a_second_hello_is_refused():
    member = entered()
    member.receive(build("hello", **HELLO), 0.0)
    assert member.closing == "malformed"


def test_the_codec_process_gets_sound_as_it_is_and_control_built_anew():
    member = entered()
    data = build_pcm(0, np.zeros(320))
    assert list(member.receive(data, 0.0)) == [data]
    text = '{"type":"mute","muted":true,"evil":"x","type":"mute"}'
    assert list(member.receive(text, 0.0)) == ['{"type":"mute","muted":true}']
    assert member.muted


def test_pings_are_answered_and_leaving_closes():
    member = entered()
    member.receive(build("ping", number=42), 0.0)
    assert told(member) == [{"type": "pong", "number": 42}]
    member.receive(build("leave"), 0.0)
    assert member.closing == "left"


def test_nothing_is_taken_after_an_error():
    member = entered()
    member.receive("{", 0.0)
    assert list(member.receive(build_pcm(0, np.zeros(320)), 0.0)) == []


def test_sound_in_real_time_passes_and_a_flood_does_not():
    member, data = entered(), build_pcm(0, np.zeros(320))
    passed = sum(len(list(member.receive(data, 0.02 * n))) for n in range(3000))
    assert passed == 3000
    flood = sum(len(list(member.receive(data, 60.0))) for _ in range(400))
    assert flood <= leg.PCM_BURST
    for _ in range(leg.MAX_EXCESS):
        member.receive(data, 60.0)
    assert member.closing == "rate"


def test_a_flood_of_control_frames_is_cut_off():
    member = entered()
    for _ in range(leg.MAX_EXCESS + 50):
        member.receive(build("ping", number=1), 0.0)
    assert member.closing == "rate"
    assert len(member.outbox) <= limits.CONTROL_BURST + 1


def test_silent_browsers_are_dropped():
    silent, member = Leg(0.0), entered()
    for leg_ in (silent, member):
        leg_.tick(limits.HELLO_SECONDS + 1)
    assert (silent.closing, member.closing) == ("idle", "")
    member.tick(limits.IDLE_SECONDS + 1)
    assert member.closing == "idle"


@pytest.mark.parametrize("seed", range(5))
def test_random_frames_never_break_the_state(seed):
    rng = random.Random(seed)
    for _ in range(50):
        member, now = Leg(0.0), 0.0
        for _ in range(60):
            now += 0.1
            data = rng.choice([
                rng.randbytes(rng.randrange(50)), build("hello", **HELLO), build("mute", muted=1),
                build_pcm(0, np.zeros(5)), '{"type":"ping","number":-1}', "\x00", build("leave"),
            ])  # fmt: skip
            for frame in member.receive(data, now):
                assert member.hello is not None
                assert isinstance(frame, bytes) or json.loads(frame)["type"] == "mute"
            if member.closing:
                break
