"""State of the relay, on a simulated clock and without sockets."""

from __future__ import annotations

import random

import pytest
from streamcodec_call import limits, outbox
from streamcodec_call.protocol import (
    AudioFrame,
    Error,
    Hello,
    Join,
    Leave,
    Ping,
    Pong,
    Statistics,
    Welcome,
    build_audio,
    build_text,
    parse_binary,
    parse_text,
)
from streamcodec_call.room import Relay

MODEL = "0123456789abcdef"


def enter(relay, name="ann", where="r", now=0.0, **fields):
    peer = relay.connect(now)
    relay.receive(peer, build_text(Hello(1, where, name, MODEL, 2, **fields)), now)
    return peer


def received(peer):
    frames = []
    while len(peer.outbox):
        data = peer.outbox.pop()
        frames.append(parse_binary(data) if isinstance(data, bytes) else parse_text(data, 1 << 18))
    return frames


def sound(n=0):
    return build_audio(AudioFrame(0, n, n * 1280, b"packet"))


def test_members_learn_of_each_other():
    relay = Relay()
    ann, bob = enter(relay), enter(relay, "bob")
    (welcome, join) = received(ann)
    assert (welcome.sender, welcome.members, welcome.resumed) == (1, (), False)
    assert isinstance(join, Join)
    assert (join.member.sender, join.member.name) == (2, "bob")
    (welcome,) = received(bob)
    assert [m.name for m in welcome.members] == ["ann"]


def test_sound_goes_to_the_others_of_the_room_only():
    relay = Relay()
    ann, bob, eve = enter(relay), enter(relay, "bob"), enter(relay, "eve", "elsewhere")
    for peer in (ann, bob, eve):
        received(peer)
    assert relay.receive(ann, sound(3), 0.0) == [bob]
    assert received(bob) == [AudioFrame(1, 3, 3 * 1280, b"packet")]
    assert received(ann) == received(eve) == []


def test_a_wrong_token_is_refused_and_the_right_one_is_not():
    relay = Relay("secret")
    for wrong in ("", "Secret", "secret2", "ſecret"):
        peer = enter(relay, token=wrong)
        (error,) = received(peer)
        assert (error.code, peer.closing) == ("token", "token")
    assert relay.members == 0
    assert isinstance(received(enter(relay, token="secret"))[0], Welcome)


def test_another_version_is_refused():
    relay = Relay("secret")
    peer = relay.connect(0.0)
    relay.receive(peer, '{"type":"hello","version":9}', 0.0)
    assert received(peer)[0].code == "version"


def test_rooms_and_members_are_limited():
    relay = Relay(max_rooms=2, max_peers=2)
    for name in "ab":
        enter(relay, where=name)
    assert enter(relay, where="c").closing == "rooms-full"
    enter(relay, where="a")
    assert enter(relay, where="a").closing == "room-full"
    assert (relay.rooms, relay.members) == (2, 3)


def test_leaving_tells_the_others_and_frees_the_room():
    relay = Relay()
    ann, bob = enter(relay), enter(relay, "bob")
    received(bob)
    relay.receive(ann, build_text(Leave()), 1.0)
    relay.disconnect(ann, 1.0)
    assert received(bob) == [Leave(1)]
    relay.receive(bob, build_text(Leave()), 1.0)
    assert (relay.rooms, relay.members) == (0, 0)


def test_a_broken_connection_keeps_its_seat_for_a_while():
    relay = Relay()
    ann, bob = enter(relay), enter(relay, "bob")
    key = received(ann)[0].resume
    received(bob)
    relay.disconnect(ann, 1.0)
    assert relay.tick(2.0) == []
    again = enter(relay, now=3.0, resume=key)
    welcome = received(again)[0]
    assert (welcome.sender, welcome.resumed) == (1, True)
    assert received(bob) == []
    relay.disconnect(again, 4.0)
    relay.tick(4.0 + limits.RESUME_SECONDS + 1)
    assert received(bob) == [Leave(1)]
    late = received(enter(relay, now=60.0, resume=key))[0]
    assert late.resumed is False


def test_a_seat_is_taken_over_from_a_stale_connection():
    relay = Relay()
    ann = enter(relay)
    key = received(ann)[0].resume
    again = enter(relay, now=1.0, resume=key)
    assert received(again)[0].resumed
    assert ann.closing == "replaced"
    assert received(ann)[0].code == "replaced"
    relay.disconnect(ann, 1.1)
    assert relay.members == 1


def test_a_key_of_another_room_does_not_open_this_one():
    relay = Relay()
    key = received(enter(relay, where="one"))[0].resume
    assert not received(enter(relay, where="two", resume=key))[0].resumed


def test_pings_are_answered_even_before_the_hello():
    relay = Relay()
    peer = relay.connect(0.0)
    relay.receive(peer, build_text(Ping(42)), 0.0)
    assert received(peer) == [Pong(42)]


def test_statistics_are_told_under_the_true_number():
    relay = Relay()
    ann, bob = enter(relay), enter(relay, "bob")
    received(bob)
    relay.receive(ann, build_text(Statistics({"late": 2.0}, 77)), 0.0)
    assert received(bob) == [Statistics({"late": 2.0}, 1)]


@pytest.mark.parametrize("data", [sound(), build_text(Leave()), "{", b"", b"\x01"])
def test_what_is_no_hello_closes_a_fresh_connection(data):
    relay = Relay()
    peer = relay.connect(0.0)
    relay.receive(peer, data, 0.0)
    assert peer.closing == "malformed"


def test_silent_connections_are_dropped():
    relay = Relay()
    mute, member = relay.connect(0.0), enter(relay)
    assert mute in relay.tick(limits.HELLO_SECONDS + 1)
    assert mute.closing == "idle"
    assert not member.closing
    relay.tick(limits.IDLE_SECONDS + 1)
    assert member.closing == "idle"


def test_the_rate_of_sound_is_limited():
    relay = Relay()
    ann, bob = enter(relay), enter(relay, "bob")
    received(bob)
    passed = sum(bool(relay.receive(ann, sound(n), 0.0)) for n in range(200))
    assert passed == limits.AUDIO_BURST
    for n in range(1000):
        relay.receive(ann, sound(n), 0.0)
    assert ann.closing == "rate"


def test_a_low_delay_stream_is_within_the_rate():
    relay = Relay()
    ann, _ = enter(relay), enter(relay, "bob")
    assert all(relay.receive(ann, sound(n), 0.04 * n) for n in range(3000))


def test_a_receiver_whose_control_frames_pile_up_is_closed():
    relay = Relay()
    ann, bob = enter(relay), enter(relay, "bob")
    for n in range(outbox.MAX_OUTBOX_CONTROL + 5):
        relay.receive(ann, build_text(Statistics({"late": 1.0})), float(n))
    assert bob.closing == "slow"
    assert len(bob.outbox) <= outbox.MAX_OUTBOX_CONTROL


def test_closing_tells_everyone():
    relay = Relay()
    ann = enter(relay)
    received(ann)
    assert relay.close() == [ann]
    assert received(ann) == [Error("closing", "the relay stops")]


@pytest.mark.parametrize("seed", range(10))
def test_random_peers_never_break_the_state(seed):
    rng = random.Random(seed)
    relay = Relay(max_rooms=3, max_peers=3)
    peers, now, keys = [], 0.0, [""]
    for _ in range(1500):
        now += rng.random() * 0.2
        action = rng.random()
        if action < 0.1 or not peers:
            peers.append(relay.connect(now))
            continue
        peer = rng.choice(peers)
        if action < 0.15:
            relay.disconnect(peer, now)
            peers.remove(peer)
        elif action < 0.3:
            hello = Hello(1, rng.choice("abcd"), "x", MODEL, 1, (), "", rng.choice(keys))
            relay.receive(peer, build_text(hello), now)
        elif action < 0.35:
            relay.tick(now)
        elif action < 0.4:
            relay.receive(peer, build_text(Leave()), now)
        else:
            data = rng.choice([sound(), rng.randbytes(20), "{}", build_text(Ping(1)), "x" * 9999])
            relay.receive(peer, data, now)
        if rng.random() < 0.5:
            keys += [f.resume for f in received(peer) if isinstance(f, Welcome)]
        assert relay.rooms <= 3
        assert relay.members <= 9
    for peer in peers:
        relay.disconnect(peer, now)
    relay.tick(now + 1000)
    assert (relay.rooms, relay.members) == (0, 0)
