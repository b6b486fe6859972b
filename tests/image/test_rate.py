"""Rungs, prices and slopes go where they should."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from streamcodec.errors import InputError
from streamcodec.image.rate import (
    FIRST,
    FIRST_AFTER,
    LATER,
    MAX_PRICE,
    SEARCH_SAVES,
    Forecast,
    PriceControl,
    forecasts,
    rungs_around,
    setting_of_quality,
    setting_on,
    settle,
)

TRADE_OFFS = (0.02, 0.005, 0.0012, 0.0003)


def test_quality_walks_the_ladder_without_steps() -> None:
    wanted = []
    for quality in range(101):
        setting = setting_of_quality(quality, TRADE_OFFS)
        wanted.append(TRADE_OFFS[setting.rung] * setting.price)
    assert wanted[0] == pytest.approx(TRADE_OFFS[0])
    assert wanted[-1] == pytest.approx(TRADE_OFFS[-1])
    steps = [math.log(a / b) for a, b in itertools.pairwise(wanted)]
    assert min(steps) > 0
    assert max(steps) < 0.06
    assert setting_of_quality(70, (0.1,)).price == pytest.approx(1.0)
    with pytest.raises(InputError, match="quality"):
        setting_of_quality(101, TRADE_OFFS)


def test_rungs_near_the_rate() -> None:
    estimates = [1000.0, 2000.0, 4000.0, 8000.0]
    asked: list[int] = []

    def estimate(rung: int) -> float:
        asked.append(rung)
        return estimates[rung]

    assert rungs_around(1800, 4, estimate) == (0, 1)
    assert rungs_around(2000, 4, estimate) == (0, 1)
    assert rungs_around(2100, 4, estimate) == (1, 2)
    assert rungs_around(10**9, 4, estimate) == (3, 3)
    assert rungs_around(-5, 4, estimate) == (0, 0)
    assert rungs_around(5, 1, estimate) == (0, 0)
    asked.clear()
    assert rungs_around(71.5, 128, lambda r: asked.append(r) or float(r)) == (71, 72)
    assert len(asked) <= 8


def test_the_price_of_a_rung_is_lower_the_more_bits_there_are() -> None:
    # A search takes a little less than E alone.
    assert setting_on(1, SEARCH_SAVES * 2000, 2000).price == pytest.approx(1.0)
    assert setting_on(1, 1500, 2000).price > 1 > setting_on(1, 2100, 2000).price
    assert setting_on(3, 1, 8000).price == MAX_PRICE


def test_the_price_follows_the_bits() -> None:
    control = PriceControl(1.0, 1000.0)
    control.heard(1500.0)
    assert control.price > 1
    for _ in range(100):
        control.heard(1e9)
    assert control.price == MAX_PRICE
    still = PriceControl(2.0)
    still.heard(5.0)
    assert (still.price, still.active) == (2.0, False)


def test_forecasts_of_an_annealing_are_few_and_in_order() -> None:
    assert list(forecasts(40)) == [FIRST_AFTER, 20, 26, 32, 36]
    assert list(forecasts(16)) == [5, 8, 10, 13, 14]
    for steps in (12, 24, 40, 80, 160, 320):
        assert len(forecasts(steps)) == 1 + len(LATER)
        assert list(forecasts(steps)) == sorted(forecasts(steps))


def test_a_foretold_price_goes_where_the_bits_are_right() -> None:
    control = PriceControl(1.0, 1000.0)
    control.foretell(1000.0, Forecast(slope=3.0, rest=0.1))
    assert control.price == pytest.approx(math.exp(0.1))
    control.foretell(1100.0, Forecast(slope=3.0, rest=0.0))
    assert control.price == pytest.approx(math.exp(0.1) * 1.1**3)
    control.foretell(1e12, Forecast(slope=3.0, rest=0.0))
    assert control.price == MAX_PRICE
    still = PriceControl(2.0)
    still.foretell(5.0, FIRST)
    assert still.price == 2.0


def test_what_is_spent_beside_is_not_there_for_the_search() -> None:
    control, less = PriceControl(1.0, 1000.0), PriceControl(1.0, 900.0)
    control.reserve(100.0)
    control.heard(950.0)
    less.heard(950.0)
    assert control.price == less.price > 1.0


def test_settling_trades_distance_for_bits() -> None:
    latents = torch.tensor([0.45, 0.55, 2.55, 9.0])
    location, log_scale = torch.zeros(4), torch.full((4,), -1.0)
    assert settle(latents, location, log_scale, 0.0).tolist() == [0, 1, 3, 9]
    assert settle(latents, location, log_scale, 0.07).tolist() == [0, 0, 2, 9]
    assert settle(latents, location, log_scale, 64.0).tolist() == [0, 0, 0, 0]
