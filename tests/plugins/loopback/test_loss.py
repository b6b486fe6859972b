"""Simulated loss: as much as asked for, in bursts as long as asked for."""

from __future__ import annotations

import numpy as np
import pytest
from streamcodec_loopback.loss import PacketLoss

from streamcodec.errors import InputError

COUNT = 60_000


def runs(lost):
    """Lengths of runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize("percent", [0.0, 1.0, 5.0, 20.0, 100.0])
@pytest.mark.parametrize("burst", [None, 2.0, 5.0])
def test_share_and_bursts_are_as_asked(percent, burst):
    loss = PacketLoss(percent, burst, seed=1)
    lost = np.array([loss() for _ in range(COUNT)])
    assert 100 * lost.mean() == pytest.approx(percent, rel=0.12, abs=0.01)
    if burst is not None and 0 < percent < 100:
        assert runs(lost).mean() == pytest.approx(burst, rel=0.1)
    elif 0 < percent < 100:
        assert runs(lost).mean() == pytest.approx(1 / (1 - percent / 100), rel=0.05)


def test_the_same_seed_loses_the_same():
    first, second, other = (PacketLoss(20.0, 3.0, seed=s) for s in (5, 5, 6))
    drawn = [(first(), second(), other()) for _ in range(500)]
    assert all(a == b for a, b, _ in drawn)
    assert any(a != c for a, _, c in drawn)


def test_switched_off_is_off_at_once():
    loss = PacketLoss(90.0, 20.0)
    while not loss():
        pass
    loss.percent = 0.0
    assert not any(loss() for _ in range(1000))


@pytest.mark.parametrize(
    ("percent", "burst"),
    [(-1.0, None), (101.0, None), (float("nan"), None), (5.0, 0.5), (5.0, 1e9), (80.0, 2.0)],
)
def test_what_cannot_be_is_refused(percent, burst):
    with pytest.raises(InputError, match=r"expected|needs bursts"):
        PacketLoss(percent, burst)
