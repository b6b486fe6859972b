"""The clock that runs faster when there is less time."""

from __future__ import annotations

import pytest
from streamcodec_loopback.deadline import LEAST, PacketClock


@pytest.mark.parametrize("allowed", [0.048, 0.01, 0.2, 0.0, -1.0])
def test_the_deadline_passes_after_the_time_allowed(allowed):
    now = 100.0
    clock = PacketClock(0.048, lambda: now)
    clock.allow(allowed)
    end = clock() + clock.deadline
    real = min(0.048, max(LEAST, allowed))
    now += 0.99 * real
    assert clock() < end
    assert not clock.expired
    now += 0.02 * real
    assert clock() >= end
    assert clock.expired


def test_each_packet_begins_anew():
    now = 0.0
    clock = PacketClock(0.048, lambda: now)
    now = 10.0
    assert clock() > clock.deadline
    clock.allow(0.02)
    assert clock() == 0.0
    assert not clock.expired
