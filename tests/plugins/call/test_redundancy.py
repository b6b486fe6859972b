"""When frames are sent twice."""

from __future__ import annotations

from streamcodec_call.redundancy import HEAVY_SHARE, OFF_SHARE, ON_SHARE, UNKNOWN_FRAMES, Redundancy

OWN = 7


def test_it_begins_with_heavy_loss_and_ends_without():
    redundancy = Redundancy()
    assert not redundancy.copies
    redundancy.report(1, OWN, {"loss-7": 0.2})
    assert redundancy.copies
    reports = 0
    while redundancy.copies:
        redundancy.report(1, OWN, {"loss-7": 0.0})
        reports += 1
    assert 3 <= reports <= 6


def test_between_the_limits_it_stays_as_it_is():
    middle = (ON_SHARE + OFF_SHARE) / 2
    calm, busy = Redundancy(), Redundancy()
    busy.report(1, OWN, {"loss-7": 0.1})
    for _ in range(50):
        calm.report(1, OWN, {"loss-7": middle})
        busy.report(1, OWN, {"loss-7": middle})
    assert busy.copies
    assert not calm.copies


def test_the_worst_listener_decides_until_it_leaves():
    redundancy = Redundancy()
    redundancy.report(1, OWN, {"loss-7": 0.0})
    redundancy.report(2, OWN, {"loss-7": 0.3})
    redundancy.report(1, OWN, {"loss-7": 0.0})
    assert redundancy.copies
    redundancy.forget(2)
    assert not redundancy.copies


def test_what_is_lost_of_others_and_nonsense_change_nothing():
    redundancy = Redundancy()
    redundancy.report(1, OWN, {"loss-8": 0.9, "received": 5.0})
    redundancy.report(1, OWN, {"loss-7": -1e9})
    assert not redundancy.copies
    redundancy.report(2, OWN, {"loss-7": 1e9})
    for _ in range(25):
        redundancy.report(2, OWN, {"loss-7": 0.0})
    assert not redundancy.copies


def test_a_listener_of_whom_nothing_is_known_is_protected_for_a_while():
    redundancy = Redundancy()
    redundancy.expect(1)
    assert redundancy.copies == 1
    redundancy.report(1, OWN, {"received": 5.0})  # tells nothing of this sender
    assert redundancy.copies == 1
    redundancy.report(1, OWN, {"loss-7": 0.0})
    assert redundancy.copies == 0
    redundancy.expect(1)  # after a reconnection it is still known
    assert redundancy.copies == 0
    redundancy.expect(2)
    for n in range(UNKNOWN_FRAMES):
        assert redundancy.copies == 1, n
        redundancy.sent()
    assert redundancy.copies == 0


def test_heavy_loss_sends_everything_three_times():
    redundancy = Redundancy()
    redundancy.report(1, OWN, {"loss-7": 2.5 * HEAVY_SHARE})
    assert redundancy.copies == 1  # a single report may be of a dozen frames
    for _ in range(5):
        redundancy.report(1, OWN, {"loss-7": 2.5 * HEAVY_SHARE})
    assert redundancy.copies == 2
    for _ in range(10):
        redundancy.report(1, OWN, {"loss-7": 3 * OFF_SHARE})
    assert redundancy.copies == 2
    for _ in range(20):
        redundancy.report(1, OWN, {"loss-7": 0.0})
    assert redundancy.copies == 0
