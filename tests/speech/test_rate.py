"""Rate control holds the average it is asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streamcodec.errors import InputError
from streamcodec.speech.rate import FixedPrice, RateControl

RATES = (1000, 1600, 2000, 3200, 6000)
SECONDS = 0.08
PAUSE = 4


def test_the_nearest_rung_is_taken() -> None:
    rungs = [RateControl(b, RATES).rung for b in (600, 1000, 1300, 1900, 2500, 3000, 9000)]
    assert rungs == [0, 0, 1, 2, 2, 3, 4]


def spent(control: RateControl, appetite: float, elasticity: float, packets: int, seed: int) -> int:
    """Bits of a source that wants ``appetite`` times its rung's rate at price one."""
    rng = np.random.default_rng(seed)
    control.reset()
    total = 0
    for number in range(packets):
        allowance = control.next()
        # A sentence between two short pauses.
        voiced = 1.0 if min(number, packets - 1 - number) >= PAUSE else 0.3
        wish = voiced * appetite * RATES[allowance.rung] * SECONDS * allowance.price**-elasticity
        bits = max(0, int(rng.normal(wish, 40)))
        total += bits
        control.spend(bits, SECONDS)
    return total


@pytest.mark.parametrize("appetite", [1.0, 1.2, 1.4])
def test_average_is_held_against_a_source_that_wants_more(appetite: float) -> None:
    total = spent(RateControl(2000, RATES), appetite, 0.18, packets=500, seed=8)
    assert 0.99 * 2000 < total / (500 * SECONDS) <= 2000 * 1.005


@pytest.mark.parametrize("elasticity", [0.0, 0.18])
@pytest.mark.parametrize("bitrate", [1600, 2000, 3200, 6000])
def test_short_streams_keep_to_the_rate_on_average(bitrate: int, elasticity: float) -> None:
    # Elasticity 0 is a source on which nothing is searched: only the rung helps.
    control = RateControl(bitrate, RATES)
    packets, streams = 50, 40
    total = sum(spent(control, 1.2, elasticity, packets, seed) for seed in range(streams))
    # What a stream's end costs beyond its sound is in the bits, but not in the seconds.
    sound = packets * SECONDS - 0.07
    assert 0.95 * bitrate < total / (streams * sound) <= 1.005 * bitrate


def test_heavy_debt_lowers_the_rung_and_it_comes_back() -> None:
    control = RateControl(2000, RATES)
    assert control.next().rung == 2
    control.spend(1600, SECONDS)
    assert control.next().rung == 0
    for _ in range(14):
        control.spend(50, SECONDS)
    assert control.next().rung == 2


def test_credit_of_a_long_pause_does_not_pile_up() -> None:
    def price_after(pause: int) -> float:
        control = RateControl(2000, RATES)
        for _ in range(pause):
            control.spend(0, SECONDS)
        control.spend(1160, SECONDS)
        return control.next().price

    assert price_after(20) == pytest.approx(price_after(2000), rel=1e-9)
    assert price_after(2000) < RateControl(2000, RATES).next().price


def test_lasting_debt_makes_bits_dearer_and_dearer() -> None:
    control = RateControl(2000, RATES)
    prices = []
    for _ in range(40):
        control.spend(160, SECONDS)
        prices.append(control.next().price)
    assert all(a < b for a, b in pairwise(prices))


def test_a_reset_controller_is_a_new_one() -> None:
    control = RateControl(2000, RATES)
    for bits in (900, 0, 300, 700):
        control.spend(bits, SECONDS)
    control.reset()
    assert control.next() == RateControl(2000, RATES).next()


def test_a_fixed_price_does_not_move() -> None:
    control = FixedPrice(3, 1.5)
    for bits in (0, 5000):
        control.spend(bits, SECONDS)
        assert (control.next().rung, control.next().price) == (3, 1.5)


@pytest.mark.parametrize("bitrate", [0, -5, 599, 16_001])
def test_impossible_rates_are_refused(bitrate: int) -> None:
    with pytest.raises(InputError, match="bitrate"):
        RateControl(bitrate, RATES)
