"""The search lowers the cost it is given, inside its budget, and says what it did."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from streamcodec.core.search import Budget, LatentSearch
from streamcodec.errors import InputError


class Mixing:
    """A small problem whose best lattice point is not the rounded optimum."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(11)
        self.matrix = torch.randn(6, 6, generator=generator)
        self.optimum = 2.0 * torch.randn(1, 6, generator=generator)
        self.calls = 0

    def pictures(self, latents: Tensor) -> Tensor:
        self.calls += 1
        return (latents - self.optimum) @ self.matrix

    def distance(self, pictures: Tensor) -> Tensor:
        return pictures.square().mean(dim=(1, 2))

    def bits(self, latents: Tensor) -> Tensor:
        return (1.0 + latents.abs()).log2().sum(dim=(1, 2))

    def cost(self, symbols: Tensor, trade_off: float) -> float:
        z = symbols[None]
        return float(self.distance(self.pictures(z))[0] / trade_off + self.bits(z)[0])


TRADE_OFF = 0.05


@pytest.mark.parametrize("quantizer", ["admm", "uniform"])
def test_more_budget_costs_less(quantizer: str) -> None:
    problem = Mixing()
    guess = problem.optimum + 3.0
    costs = []
    for budget in (Budget(0), Budget(10), Budget(40, 6)):
        found = LatentSearch(quantizer, budget)(problem, guess, TRADE_OFF)
        assert torch.equal(found.symbols, found.symbols.round())
        assert found.iterations == budget.iterations
        costs.append(problem.cost(found.symbols, TRADE_OFF))
    assert costs[2] < costs[1] < costs[0]


def test_settlement_is_never_worse_than_the_projection() -> None:
    problem = Mixing()
    guess = problem.optimum.clone()
    plain = LatentSearch("uniform", Budget(15))(problem, guess, TRADE_OFF)
    settled = LatentSearch("uniform", Budget(15, 6))(problem, guess, TRADE_OFF)
    assert problem.cost(settled.symbols, TRADE_OFF) <= problem.cost(plain.symbols, TRADE_OFF)
    assert problem.cost(settled.symbols, TRADE_OFF) < problem.cost(plain.symbols, TRADE_OFF) - 0.1


def test_settlement_needs_no_gradient_steps() -> None:
    problem = Mixing()
    guess = problem.optimum + 1.4
    found = LatentSearch("admm", Budget(0, 6))(problem, guess, TRADE_OFF)
    assert found.iterations == 0
    assert torch.equal(found.correction, torch.zeros_like(guess))
    rounded = guess.round()
    assert problem.cost(found.symbols, TRADE_OFF) < problem.cost(rounded, TRADE_OFF) - 0.1


class Together(Mixing):
    """Two moves that each help alone, but not together: pictures add up, distances do not."""

    def __init__(self) -> None:
        super().__init__()
        # The first two latents move the same band, the third another one.
        self.matrix = torch.tensor([[1.0, 0.0], [0.9, 0.0], [0.0, 1.0]])
        self.optimum = torch.tensor([[0.5, 0.5, 0.6]])

    def bits(self, latents: Tensor) -> Tensor:
        return latents.abs().sum(dim=(1, 2))


def test_moves_are_chosen_in_the_light_of_each_other() -> None:
    # From zero either of the first two moves reaches what both are for; making both overshoots.
    problem = Together()
    found = LatentSearch("uniform", Budget(0, 3))(problem, torch.zeros(1, 3), TRADE_OFF)
    every = torch.cartesian_prod(*[torch.arange(-2.0, 3.0)] * 3)[:, None]
    costs = problem.distance(problem.pictures(every)) / TRADE_OFF + problem.bits(every)
    assert problem.cost(found.symbols, TRADE_OFF) == pytest.approx(float(costs.min()))
    assert found.symbols[0].tolist() == [1.0, 0.0, 1.0]


def test_a_round_never_ends_dearer_than_it_began() -> None:
    for seed in range(20):
        problem = Mixing()
        problem.optimum = 2.0 * torch.randn(1, 6, generator=torch.Generator().manual_seed(seed))
        symbols = problem.optimum.round()
        costs = [problem.cost(symbols, TRADE_OFF)]
        for rounds in (1, 2, 3):
            search = LatentSearch("uniform", Budget(0, 6, rounds=rounds))
            found = search(problem, problem.optimum, TRADE_OFF)
            costs.append(problem.cost(found.symbols, TRADE_OFF))
        assert all(b <= a + 1e-4 for a, b in itertools.pairwise(costs)), (seed, costs)


def test_no_budget_is_the_guess_alone() -> None:
    problem = Mixing()
    found = LatentSearch("admm", Budget(0))(problem, problem.optimum + 0.2, TRADE_OFF)
    assert torch.equal(found.symbols, (problem.optimum + 0.2).round())
    assert problem.calls == 0


def test_a_deadline_stops_the_search_and_keeps_what_it_has() -> None:
    problem = Mixing()
    asked = itertools.count()
    found = LatentSearch("admm", Budget(50, 6))(
        problem, problem.optimum + 0.4, TRADE_OFF, expired=lambda: next(asked) >= 3
    )
    assert found.iterations == 3
    assert torch.equal(found.symbols, found.symbols.round())


def test_warm_start_is_taken_only_if_it_helps() -> None:
    problem = Mixing()
    guess = problem.optimum + 5.0
    search = LatentSearch("uniform", Budget(1))
    cold = search(problem, guess, TRADE_OFF)
    harmful = search(problem, guess, TRADE_OFF, warm_start=torch.full((1, 6), 30.0))
    assert torch.equal(harmful.symbols, cold.symbols)
    helped = search(problem, guess, TRADE_OFF, warm_start=torch.full((1, 6), -5.0))
    assert problem.cost(helped.symbols, TRADE_OFF) < problem.cost(cold.symbols, TRADE_OFF)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="quantizer"):
        LatentSearch("nearest", Budget(3))
    with pytest.raises(InputError, match="negative"):
        LatentSearch("admm", Budget(-1))
