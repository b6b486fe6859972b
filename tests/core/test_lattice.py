"""The descent lowers the cost, follows the price it is given, and foresees what it does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from streamcodec.core.lattice import (
    HIGHEST_PRICE,
    SURE_GAIN,
    UNIT_MOVE,
    Look,
    Moves,
    by_price,
    descend,
    moves_of,
    price_for,
    product_form,
    silent_channels,
)

SHAPE = (12, 12, 4)


class Quadratic:
    """A distance with known curvature, and bits that grow with size."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(2)
        self.optimum = 3.0 * torch.randn(SHAPE, generator=generator)
        self.curvature = torch.tensor([1.0, 4.0, 9.0, 16.0])
        # What the descent, which expects a unit move to see more of it, has to be told.
        self.told = self.curvature / UNIT_MOVE

    def distance(self, symbols: Tensor) -> Tensor:
        return (0.5 * self.curvature * (symbols - self.optimum).square()).sum()

    def bits(self, symbols: Tensor) -> Tensor:
        return 2.0 * (1.0 + symbols.abs()).log2()

    def look(self, symbols: Tensor) -> Look:
        return Look(
            float(self.distance(symbols)),
            float(self.bits(symbols).sum()),
            self.curvature * (symbols - self.optimum),
            torch.zeros(SHAPE),
            self.bits,
        )


class Fixed:
    """A price that nothing moves."""

    def __init__(self, price: float) -> None:
        self.price = price
        self.told: list[float] = []

    def heard(self, bits: float) -> None:
        self.told.append(bits)


class Steered(Fixed):
    """A price that follows the bits to a number."""

    def __init__(self, bits: float) -> None:
        super().__init__(1.0)
        self.bits = bits

    def heard(self, bits: float) -> None:
        self.price *= (bits / self.bits) ** 2


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_every_move_does_what_was_foreseen() -> None:
    problem = Quadratic()
    symbols = problem.optimum.round() + 1.0
    moves = moves_of(problem, symbols, problem.told)
    for way, step in enumerate((-1.0, 1.0)):
        there = symbols.clone()
        there[3, 5, 2] += step
        change = problem.distance(there) - problem.distance(symbols)
        assert float(moves.distance[way, 3, 5, 2]) == pytest.approx(float(change), abs=0.02)
        change = problem.bits(there).sum() - problem.bits(symbols).sum()
        assert float(moves.bits[way, 3, 5, 2]) == pytest.approx(float(change), abs=0.02)


def test_bits_of_others_count() -> None:
    """A symbol that makes its neighbours dearer by moving up goes down."""
    problem = Quadratic()
    problem.optimum = problem.optimum.round()
    look = problem.look(problem.optimum)
    pushed = Look(look.distance, look.bits, look.distance_gradient, torch.full(SHAPE, 99.0), abs)

    class Pushing:
        def look(self, symbols: Tensor) -> Look:
            return pushed

    moves = moves_of(Pushing(), problem.optimum, problem.told)
    there = moves.made(torch.zeros(SHAPE), 1.0, 1.0)
    assert torch.equal(there, problem.optimum - 1.0)


def test_moves_are_made_as_they_promise() -> None:
    """Sure gains in their full share, small ones in proportion, losses never."""
    shape = (100, 100, 1)
    look = Look(0.0, 0.0, torch.zeros(shape), torch.zeros(shape), abs)
    moves = Moves(
        torch.zeros(shape), look,
        torch.stack([torch.full(shape, 9.0), torch.full(shape, -0.5 * SURE_GAIN)]),
        torch.zeros(2, *shape), torch.zeros(2, *shape), torch.full(shape, 0.25 * SURE_GAIN),
    )  # fmt: skip
    draws = torch.rand(shape, generator=generator())
    assert float(moves.made(draws, 0.6, 1.0).mean()) == pytest.approx(0.3, abs=0.02)
    # A bit is dearer: half of what was sure is a quarter of it now.
    assert float(moves.made(draws, 0.6, 2.0).mean()) == pytest.approx(0.15, abs=0.02)
    assert float(moves.made(draws, 0.6, 0.1).mean()) == pytest.approx(0.6, abs=0.02)
    assert not moves.made(draws, 0.0, 1.0).any()
    # Twice the curvature: half of the gain is gone.
    assert float(moves.warier(2.0).made(draws, 0.6, 1.0).mean()) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("price", [0.3, 1.0, 4.0])
def test_the_descent_comes_to_where_no_move_pays(price: float) -> None:
    """Where symbols do not depend on each other it stops at nothing else, and near the best.

    The best of all points it need not find: bits that rise steeply from zero make hills that unit
    moves do not cross.
    """
    problem = Quadratic()
    symbols = problem.optimum.round()
    before = moves_of(problem, symbols, problem.told).cost(price)
    moves = descend(problem, symbols, problem.told, 1000, Fixed(price), generator())
    assert torch.equal(moves.symbols, moves.symbols.round())
    assert float((moves.distance + price * moves.bits).min()) > -1e-3
    offsets = torch.arange(-30.0, 31.0)[:, None, None, None]
    costs = 0.5 * problem.curvature * (offsets - problem.optimum).square()
    best = float((costs + price * problem.bits(offsets)).min(dim=0).values.sum())
    assert best - 0.01 < moves.cost(price) < before
    assert moves.cost(price) < 1.1 * best


@pytest.mark.parametrize("share", [0.7, 0.9])
def test_bits_are_met(share: float) -> None:
    problem = Quadratic()
    symbols = problem.optimum.round()
    wanted = share * float(problem.bits(symbols).sum())
    moves = descend(problem, symbols, problem.told, 120, Steered(wanted), generator())
    assert moves.look.bits == pytest.approx(wanted, rel=0.02)


def test_a_round_that_fails_is_taken_back() -> None:
    """With a curvature ten times too small moves overshoot; the cost falls all the same."""
    problem = Quadratic()
    symbols = problem.optimum.round()
    before = moves_of(problem, symbols, problem.told).cost(1.0)
    price = Fixed(1.0)
    after = descend(problem, symbols, 0.1 * problem.told, 40, price, generator())
    assert after.cost(1.0) < before
    assert price.told[-1] == after.look.bits


def test_a_failed_round_tells_the_curvature() -> None:
    problem = Quadratic()
    symbols = problem.optimum.round() + 1.0
    moves = moves_of(problem, symbols, 0.2 * problem.told)
    there = moves_of(problem, moves.made(torch.zeros(SHAPE), 1.0, 1e-6), problem.told)
    assert moves.bent(there) == pytest.approx(5.0, rel=0.01)
    warier = moves.warier(4.0)
    assert warier.caution == 4.0
    assert warier.bent(there) == pytest.approx(5.0 / 4.0, rel=0.01)


def test_silent_channels_are_those_that_never_leave_zero() -> None:
    guess = torch.zeros(3, 4, 3)
    guess[..., 0] = 0.49
    guess[1, 2, 1] = -0.51
    assert silent_channels(guess).tolist() == [True, False, True]


def test_saving_bits_trusts_no_gradient_of_the_context() -> None:
    """Symbols of which the context promises bits for nothing stay; those that cost bits move."""
    problem = Quadratic()
    problem.optimum = problem.optimum.round()

    class Promising:
        def look(self, symbols: Tensor) -> Look:
            push = torch.zeros(SHAPE)
            push[0] = 99.0
            found = problem.look(symbols)
            return Look(found.distance, found.bits, found.distance_gradient, push, problem.bits)

    moves = moves_of(Promising(), problem.optimum, problem.told)
    point = by_price(moves, fewer=True)
    moved = point(0.5) != problem.optimum
    nonzero = problem.optimum != 0
    assert moved.any()
    assert not (moved & ~nonzero).any()
    # By the promise the first row would be all that moves, and all of it.
    assert moved[0].float().mean() < 0.9
    assert moved[1:].any()


def test_a_product_is_found_in_noise() -> None:
    channel, position = torch.tensor([1.0, 5.0, 20.0, 60.0] * 16), torch.rand(40, 40, 1) + 0.5
    position /= position.mean()
    noise = torch.randn(40, 40, 64, generator=generator()).square()
    found = product_form(channel * position * noise)
    assert float((found / (channel * position)).log().abs().mean()) < 0.3
    assert bool((product_form(-noise) > 0).all())
    seen = torch.tensor([1.0, 0.0, 1.0, 0.0] * 16)
    part = product_form(seen * channel * position * noise)[:, :, seen > 0]
    assert float((part / (channel * position)[:, :, seen > 0]).log().abs().mean()) < 0.3


@pytest.mark.parametrize("fewer", [True, False])
def test_prices_order_the_moves(fewer: bool) -> None:
    problem = Quadratic()
    symbols = problem.optimum.round() * (1.0 if fewer else 0.0)
    point = by_price(moves_of(problem, symbols, problem.told), fewer=fewer)
    bits = [float(problem.bits(point(price)).sum()) for price in (0.1, 0.5, 2.0, 10.0, 60.0)]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[-1]


def test_the_price_meets_the_bits_from_below() -> None:
    def bits_at(price: float) -> float:
        return 1000.0 / (1.0 + price)

    price = price_for(400.0, bits_at)
    assert 396 < bits_at(price) <= 400
    assert price_for(2000.0, bits_at) == 0.0
    assert price_for(0.0, bits_at) == pytest.approx(HIGHEST_PRICE)
