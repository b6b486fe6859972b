"""What waits for one receiver is bounded, and stays in order."""

from __future__ import annotations

from streamcodec_call.outbox import MAX_OUTBOX_AUDIO, MAX_OUTBOX_CONTROL, Outbox


def test_an_outbox_drops_the_oldest_sound_and_never_grows():
    outbox = Outbox()
    assert outbox.put_control("first")
    for n in range(MAX_OUTBOX_AUDIO + 5):
        outbox.put_audio(bytes([n]))
    assert (len(outbox), outbox.dropped) == (MAX_OUTBOX_AUDIO + 1, 5)
    assert outbox.pop() == "first"
    assert outbox.pop() == bytes([5])


def test_that_somebody_left_does_not_overtake_what_they_said():
    outbox = Outbox()
    outbox.put_audio(b"last words")
    outbox.put_control("left")
    outbox.put_audio(b"of another")
    assert [outbox.pop() for _ in range(len(outbox))] == [b"last words", "left", b"of another"]


def test_an_outbox_takes_as_much_again_when_it_has_been_emptied():
    outbox = Outbox()
    for _ in range(2):
        for n in range(MAX_OUTBOX_AUDIO):
            outbox.put_audio(bytes([n]))
        while len(outbox):
            outbox.pop()
    assert outbox.dropped == 0


def test_an_outbox_refuses_control_frames_beyond_its_limit():
    outbox = Outbox()
    outbox.put_audio(b"sound does not count")
    assert all(outbox.put_control("x") for _ in range(MAX_OUTBOX_CONTROL))
    assert not outbox.put_control("x")
    assert len(outbox) == MAX_OUTBOX_CONTROL + 1
