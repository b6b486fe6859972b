"""Rungs, prices and slopes go where they should."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from streamcodec.errors import InputError
from streamcodec.image.rate import (
    MAX_PRICE,
    STEEPEST_SLOPE,
    PriceControl,
    setting_of_bits,
    setting_of_quality,
    settle,
    slope_for,
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


def test_a_rung_near_the_rate() -> None:
    estimates = [1000.0, 2000.0, 4000.0, 8000.0]
    assert setting_of_bits(1800, estimates, True).rung == 1
    assert setting_of_bits(1800, estimates, True).price == pytest.approx(1.0, abs=0.01)
    assert setting_of_bits(2100, estimates, True).price < 1
    assert setting_of_bits(2100, estimates, False).rung == 2
    assert setting_of_bits(10**9, estimates, True).price == pytest.approx(1 / MAX_PRICE)
    assert setting_of_bits(10**9, estimates, False).rung == 3
    assert setting_of_bits(-5, estimates, True).rung == 0


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


def test_settling_trades_distance_for_bits() -> None:
    latents = torch.tensor([0.45, 0.55, 2.55, 9.0])
    location, log_scale = torch.zeros(4), torch.full((4,), -1.0)
    assert settle(latents, location, log_scale, 0.0).tolist() == [0, 1, 3, 9]
    assert settle(latents, location, log_scale, 0.07).tolist() == [0, 0, 2, 9]
    assert settle(latents, location, log_scale, STEEPEST_SLOPE).tolist() == [0, 0, 0, 0]


def test_the_slope_meets_the_bits_from_below() -> None:
    def bits_at(slope: float) -> float:
        return 1000.0 / (1.0 + slope)

    slope = slope_for(400.0, bits_at)
    assert 396 < bits_at(slope) <= 400
    assert slope_for(2000.0, bits_at) == 0.0
    assert slope_for(0.0, bits_at) == pytest.approx(STEEPEST_SLOPE)
