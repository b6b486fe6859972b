"""What waits for one receiver is bounded."""

from __future__ import annotations

from streamcodec_call.outbox import MAX_OUTBOX_AUDIO, MAX_OUTBOX_CONTROL, Outbox


def test_an_outbox_drops_the_oldest_sound_and_never_grows():
    outbox = Outbox()
    for n in range(MAX_OUTBOX_AUDIO + 5):
        outbox.put_audio(bytes([n]))
    assert (len(outbox), outbox.dropped) == (MAX_OUTBOX_AUDIO, 5)
    assert outbox.put_control("first")
    assert outbox.pop() == "first"
    assert outbox.pop() == bytes([5])


def test_an_outbox_refuses_control_frames_beyond_its_limit():
    outbox = Outbox()
    assert all(outbox.put_control("x") for _ in range(MAX_OUTBOX_CONTROL))
    assert not outbox.put_control("x")
    assert len(outbox) == MAX_OUTBOX_CONTROL
