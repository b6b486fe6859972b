"""Annealing gets past hills between lattice points that plain rounding ends before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from streamcodec.core import annealing
from streamcodec.core.annealing import anneal, draw_near

SHAPE = (20, 20, 2)


class Pairs:
    """Pairs of symbols of which only the sum shows in the picture: both between two integers."""

    def __init__(self) -> None:
        self.sums = torch.full(SHAPE[:2], 1.0)

    def pictures(self, latents: Tensor) -> Tensor:
        return latents.sum(dim=3)

    def distance(self, pictures: Tensor) -> Tensor:
        return 20.0 * (pictures - self.sums).square().flatten(1).sum(dim=1)

    def rated(self, context: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda symbols: symbols.abs() + 0.0 * context

    def cost(self, latents: Tensor) -> float:
        points = latents.round()[None]
        return float(self.distance(self.pictures(points))[0] + points.abs().sum())


def test_annealed_latents_round_well() -> None:
    """Each half rounds alone, so that the pair is off by one; they have to agree on who gives."""
    problem = Pairs()
    start = torch.Generator().manual_seed(1)
    guess = 0.5 + 0.02 * torch.randn(SHAPE, generator=start)
    heard: list[tuple[int, int]] = []

    def hear(latents: Tensor, step: int, steps: int) -> None:
        assert latents.shape == guess.shape
        heard.append((step, steps))

    found = anneal(problem, guess, 1.0, 60, torch.Generator().manual_seed(0), hear)
    assert problem.cost(found) < 0.35 * problem.cost(guess)
    assert heard == [(step, 60) for step in range(60)]
    again = anneal(problem, guess, 1.0, 60, torch.Generator().manual_seed(0), hear)
    assert torch.equal(found, again)
    assert torch.equal(anneal(problem, guess, 1.0, 0, torch.Generator(), hear), guess)


def test_draws_are_near_the_nearer_integer() -> None:
    generator = torch.Generator().manual_seed(2)
    z = torch.full((4000,), -1.2)
    draw = draw_near(z, 0.3, torch.rand(z.shape, generator=generator))
    drawn = draw.softened(0.3)
    assert bool(((drawn >= -2) & (drawn <= -1)).all())
    assert float((drawn > -1.5).float().mean()) > 0.75
    # The colder, the nearer to an integer, and the same one.
    colder = draw.softened(0.1)
    assert float((colder - colder.round()).abs().mean()) < 0.5 * float(
        (drawn - drawn.round()).abs().mean()
    )
    assert torch.equal(colder.round(), drawn.round())
    # The likelier it is drawn above, the further up the latent lies: a gradient says so.
    z = torch.full((100,), 0.5, requires_grad=True)
    draw = draw_near(z, 0.5, torch.rand(z.shape, generator=generator))
    (gradient,) = torch.autograd.grad(draw.softened(0.5).sum(), z)
    assert bool((gradient >= 0).all())
    assert float(gradient.mean()) > 0.1


def test_a_few_steps_in_a_row_draw_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def draw_and_tell(z: Tensor, temperature: float, uniform: Tensor) -> annealing.Draw:
        seen.append(uniform)
        return draw_near(z, temperature, uniform)

    monkeypatch.setattr(annealing, "draw_near", draw_and_tell)
    guess = torch.full(SHAPE, 0.6)
    anneal(Pairs(), guess, 1.0, 40, torch.Generator().manual_seed(0), lambda *_: None)
    uniform = torch.stack(seen)
    assert uniform.shape == (40, *SHAPE)
    # Of eight in a row no two neighbours on the circle are far apart, whichever symbol it is.
    for begin in range(32):
        ordered = uniform[begin : begin + 8].sort(dim=0).values
        around = torch.cat([ordered, ordered[:1] + 1.0])
        assert float(around.diff(dim=0).max()) < 0.25
    # And symbols know nothing of each other.
    assert abs(float(uniform[7].mean()) - 0.5) < 0.05
    assert 0.27 < float(uniform[7].std()) < 0.31


def test_expectation_is_the_mean_of_many_draws() -> None:
    generator = torch.Generator().manual_seed(3)
    draw = draw_near(torch.full((20_000,), 2.4), 0.5, torch.rand(20_000, generator=generator))
    hard = draw.softened(1e-3).round()
    expected = draw.expected(torch.square)
    assert torch.allclose(expected, expected[:1].expand_as(expected))
    assert abs(float(hard.square().mean()) - float(expected[0])) < 0.05


def test_silent_channels_stay_silent() -> None:
    """Where E rounds to zero throughout, a gradient tells nothing of what one unit would do."""
    problem = Pairs()
    guess = torch.full((*SHAPE[:2], 2), 0.3)
    guess[0, 0, 1] = 0.9
    found = anneal(problem, guess, 1.0, 20, torch.Generator().manual_seed(0), lambda *_: None)
    assert not found[..., 0].any()
    assert float((found[..., 1] - guess[..., 1]).abs().max()) > 0.1
