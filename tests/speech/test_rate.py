"""Rate control holds the average it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.errors import InputError
from streamcodec.speech.rate import RateControl

RATES = (1000, 1600, 2000, 3200, 6000)
SECONDS = 0.08


def test_the_nearest_rung_is_taken() -> None:
    rungs = [RateControl(b, RATES).rung for b in (600, 1000, 1300, 1900, 2500, 3000, 9000)]
    assert rungs == [0, 0, 1, 2, 2, 3, 4]


def test_average_is_held_against_a_source_that_wants_more() -> None:
    rng = np.random.default_rng(8)
    control = RateControl(2000, RATES)
    total = 0
    for _ in range(500):
        allowance = control.next()
        # A source whose appetite sinks with the price, as the search's does.
        wish = 220 * allowance.price**-0.4 * RATES[allowance.rung] / 2000
        bits = int(rng.normal(wish, 40))
        total += bits
        control.spend(bits, SECONDS)
    assert total / (500 * SECONDS) <= 2000 * 1.005


def test_heavy_debt_lowers_the_rung_and_it_comes_back() -> None:
    control = RateControl(2000, RATES)
    assert control.next().rung == 2
    control.spend(1200, SECONDS)
    assert control.next().rung == 0
    for _ in range(6):
        control.spend(50, SECONDS)
    assert control.next().rung == 2


def test_credit_of_a_long_pause_does_not_pile_up() -> None:
    control = RateControl(2000, RATES)
    for _ in range(1000):
        control.spend(0, SECONDS)
    rich = control.next().price
    control.spend(1000 + 160, SECONDS)
    assert control.next().price > rich
    assert control.next().price == pytest.approx(RateControl(2000, RATES).next().price, rel=1e-6)


@pytest.mark.parametrize("bitrate", [0, -5, 599, 16_001])
def test_impossible_rates_are_refused(bitrate: int) -> None:
    with pytest.raises(InputError, match="bitrate"):
        RateControl(bitrate, RATES)
