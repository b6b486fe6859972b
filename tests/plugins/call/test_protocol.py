"""The call protocol: what is written can be read, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
from streamcodec_call import protocol
from streamcodec_call.errors import ProtocolError
from streamcodec_call.protocol import AudioFrame, parse_binary, parse_text

MODEL = "0123456789abcdef"
MEMBER = protocol.Member(7, "Zoë", MODEL, 2, ("speech",))

MESSAGES = [
    protocol.Hello(1, "room-1", "Ann", MODEL, 2, ("speech", "silence"), "secret", "key"),
    protocol.Welcome(1, 3, "key", True, (MEMBER,)),
    protocol.Join(MEMBER),
    protocol.Leave(5),
    protocol.Statistics({"late": 3.0, "delay-ms": 12.5}, 2),
    protocol.Ping(2**53 - 1),
    protocol.Pong(0),
    protocol.Error("token", "the token is wrong"),
]

HELLO = json.loads(protocol.build_text(MESSAGES[0]))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.TYPE)
def test_control_frames_survive_the_wire(message):
    assert parse_text(protocol.build_text(message)) == message


@pytest.mark.parametrize(
    "frame",
    [AudioFrame(0, 0, 0, b"x"), AudioFrame(65535, 2**32 - 1, 2**32 - 1, b"y" * 1024),
     AudioFrame(1, 2, 3, level=0), AudioFrame(1, 2, 3, level=127)],
)  # fmt: skip
def test_binary_frames_survive_the_wire(frame):
    assert parse_binary(protocol.build_audio(frame)) == frame


def test_layout_is_as_documented():
    sound = protocol.build_audio(AudioFrame(0x0102, 0x03040506, 0x0708090A, b"\xaa\xbb"))
    assert sound.hex() == "010102030405060708090aaabb"
    silence = protocol.build_audio(AudioFrame(1, 2, 3, level=60))
    assert silence.hex() == "02000100000002000000033c"


def test_numbers_wrap():
    frame = parse_binary(protocol.build_audio(AudioFrame(1, 2**32 + 5, 2**33 + 6, b"x")))
    assert (frame.sequence, frame.timestamp) == (5, 6)


def test_the_claimed_sender_is_overwritten():
    data = protocol.build_audio(AudioFrame(999, 1, 2, b"packet"))
    assert parse_binary(protocol.stamp_sender(data, 3)) == AudioFrame(3, 1, 2, b"packet")


def test_unknown_types_are_passed_over():
    assert parse_text('{"type":"dance","with":["anyone"]}') is None
    assert parse_binary(b"\x7fwhatever") is None


def test_unknown_fields_are_passed_over():
    assert parse_text(json.dumps({**HELLO, "colour": "blue"})) == MESSAGES[0]


def test_a_hello_of_another_version_is_recognized_whatever_else_it_says():
    assert parse_text('{"type":"hello","version":2,"place":"here"}').version == 2


@pytest.mark.parametrize(
    "change",
    [{"version": 0}, {"version": True}, {"version": "1"}, {"room": ""}, {"room": "a" * 65},
     {"room": "a/b"}, {"room": "a\n"}, {"name": ""}, {"name": "  "}, {"name": "n" * 33},
     {"name": "a\nb"}, {"name": "a\u202eb"}, {"name": "\ud800"}, {"name": None},
     {"model": "xyz"}, {"model": MODEL.upper()}, {"steps": 0}, {"steps": 3}, {"steps": 1.0},
     {"capabilities": "all"}, {"capabilities": ["x"] * 17}, {"capabilities": ["UP"]},
     {"capabilities": [1]}, {"token": "t" * 257}, {"token": 5}, {"resume": "r" * 65}],
)  # fmt: skip
def test_a_field_out_of_range_is_refused(change):
    with pytest.raises(ProtocolError):
        parse_text(json.dumps({**HELLO, **change}))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "null", '{"type":1}', "{}", "[" * 4000, '{"type":"ping","number":NaN}',
     '{"type":"ping","number":-1}', '{"type":"ping","number":9007199254740992}',
     '{"type":"statistics","values":{"a":1e999}}', '{"type":"statistics","values":{"A b":1}}',
     '{"type":"statistics","values":[]}', '{"type":"join","member":4}',
     '{"type":"ping","number":' + "9" * 4500 + "}", " " * 4097],
)  # fmt: skip
def test_what_is_no_frame_of_ours_is_refused(text):
    with pytest.raises(ProtocolError):
        parse_text(text)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\x01" + bytes(10), b"\x02" + bytes(10), b"\x02" + bytes(10) + b"\x80",
     b"\x02" + bytes(12), b"\x01" + bytes(10 + 1025)],
)  # fmt: skip
def test_binary_frames_of_the_wrong_length_are_refused(data):
    with pytest.raises(ProtocolError):
        parse_binary(data)


def test_errors_never_repeat_what_was_sent():
    with pytest.raises(ProtocolError) as caught:
        parse_text(json.dumps({**HELLO, "name": "\x1b[31mEVIL"}))
    assert "EVIL" not in str(caught.value)


def test_secrets_are_not_in_representations():
    assert "secret" not in repr(MESSAGES[0])


@pytest.mark.parametrize("seed", range(20))
def test_mutated_frames_give_a_message_or_one_exception(seed):
    rng = random.Random(seed)
    for _ in range(200):
        text = list(protocol.build_text(rng.choice(MESSAGES)))
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(text))
            text[place : place + rng.randint(0, 3)] = chr(rng.choice([0, 34, 48, 91, 123, 0x3B1]))
        data = rng.randbytes(rng.randint(0, 40))
        for read, given in ((parse_text, "".join(text)), (parse_binary, data)):
            with contextlib.suppress(ProtocolError):
                read(given)
