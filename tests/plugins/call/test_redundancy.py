"""When frames are sent twice."""

from __future__ import annotations

from streamcodec_call.redundancy import OFF_SHARE, ON_SHARE, Redundancy

OWN = 7


def test_it_begins_with_heavy_loss_and_ends_without():
    redundancy = Redundancy()
    assert not redundancy.active
    redundancy.report(1, OWN, {"loss-7": 0.2})
    assert redundancy.active
    reports = 0
    while redundancy.active:
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
    assert busy.active
    assert not calm.active


def test_the_worst_listener_decides_until_it_leaves():
    redundancy = Redundancy()
    redundancy.report(1, OWN, {"loss-7": 0.0})
    redundancy.report(2, OWN, {"loss-7": 0.3})
    redundancy.report(1, OWN, {"loss-7": 0.0})
    assert redundancy.active
    redundancy.forget(2)
    assert not redundancy.active


def test_what_is_lost_of_others_and_nonsense_change_nothing():
    redundancy = Redundancy()
    redundancy.report(1, OWN, {"loss-8": 0.9, "received": 5.0})
    redundancy.report(1, OWN, {"loss-7": -1e9})
    assert not redundancy.active
    redundancy.report(2, OWN, {"loss-7": 1e9})
    for _ in range(7):
        redundancy.report(2, OWN, {"loss-7": 0.0})
    assert not redundancy.active
