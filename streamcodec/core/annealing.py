"""Annealed search: gradient steps on latents that are rounded at random, less and less so.

Each symbol is drawn near one of the two integers around its latent, nearer the colder it is, and
likelier the nearer one. Gradients are thereby those of the cost at lattice points rather than
between them, and the latents settle where rounding does no harm. Of the ways tried to bring
latents to a lattice this one alone gets past what moves on the lattice find by themselves: on three
held-out photographs forty steps of it and of the descent lowered the cost as far as the descent
alone did not in eighty.

Source: Yang, Bamler and Mandt, *Improving inference for neural image compression*, NeurIPS 2020
(stochastic Gumbel annealing, section 3.2), except for three things. Annealing stops while it is
warm: the descent on the lattice that follows does the rest better. A draw is softened by
temperatures of its own, not by the one that it is drawn at: steps are few, and a softer draw has a
calmer gradient. And bits are not those of the draw but expected over both integers, in the context
of the draw: between two integers the prior tells nothing that is true of either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from streamcodec.core.lattice import silent_channels

FIRST_STEP, LAST_STEP = 0.028, 0.045
"""Sizes of the first and of the last step of Adam, lattice units. Steps that shrink lose: the
colder the draws, the more it takes to bring a symbol from one integer to another. On coarse
lattices steps of 0.05 throughout lose a fifth of the gain and more, on fine ones 0.02 a tenth
(held-out photographs)."""

HOTTEST, COLDEST = 0.35, 0.15
"""Temperatures at the first and after the last step. At 0.7 to 0.3 so many symbols of a coarse
lattice, where most are zero, are drawn beside it that the steps lead away from what is good."""

SOFT_PICTURE, SOFT_CONTEXT = 0.7, 0.4
"""Temperatures that soften a draw where G sees it and where it is the context of others. On
held-out photographs the cost ends 1.6 % lower than where both, and the bits, are those of a draw
softened by the temperature that it is drawn at. With a context that is not softened, and no
gradient through it, that gain is gone."""

FIRST_DECAY, SECOND_DECAY = 0.8, 0.99
"""Of Adam's moments. The usual 0.9 for the first remembers a quarter of a short search."""

EDGE = 1e-4
"""Latents keep this distance from integers, where the odds would be infinite."""


class AnnealedProblem(Protocol):
    """What annealing asks. All latents are in lattice units."""

    def pictures(self, latents: Tensor) -> Tensor:
        """What G makes of latents ``(1, ..., dim)``."""

    def distance(self, pictures: Tensor) -> Tensor:
        """Distance of each picture, ``(1,)``."""

    def rated(self, context: Tensor) -> Callable[[Tensor], Tensor]:
        """Bits of each symbol of a point, where ``context`` ``(..., dim)`` are those around it."""


@dataclass(frozen=True)
class Draw:
    """Symbols drawn near latents, each at one of the two integers around its own.

    Attributes
    ----------
    below : Tensor
        The lower ones.
    odds : Tensor
        Logarithm of the odds of the upper ones.
    noise : Tensor
        What decides, a standard logistic variable for each: the difference of two of Gumbel's.
    """

    below: Tensor
    odds: Tensor
    noise: Tensor

    def softened(self, temperature: float) -> Tensor:
        """The draw, differentiable: the warmer, the further from integers."""
        return self.below + torch.sigmoid((self.odds + self.noise) / temperature)

    def expected(self, at: Callable[[Tensor], Tensor]) -> Tensor:
        """Expectation over both integers of what is so ``at`` a point, for each symbol."""
        up = torch.sigmoid(self.odds)
        return (1.0 - up) * at(self.below) + up * at(self.below + 1.0)


def anneal(
    problem: AnnealedProblem,
    guess: Tensor,
    trade_off: float,
    iterations: int,
    generator: torch.Generator,
    heard: Callable[[Tensor, int, int], None],
) -> Tensor:
    """Search from a guess; gives the latents at the end, to be rounded, ``(..., dim)``.

    Parameters
    ----------
    guess
        The encoder's latents in lattice units.
        Channels that round to zero everywhere stay zero, see
        :func:`streamcodec.core.lattice.silent_channels`.
    trade_off
        Distance that is worth one bit.
    iterations
        Steps, one pass through the generator and back each.
    heard
        Told before each step where the latents are, how many steps they have made, and of how many.
    """
    silent = silent_channels(guess)
    # From a guess beside zero they would now and then be drawn at one.
    z = guess.masked_fill(silent, 0.0).requires_grad_()
    first, second = torch.zeros_like(z), torch.zeros_like(z)
    movable = (~silent).float()
    for i in range(iterations):
        heard(z.detach(), i, iterations)
        part = i / iterations
        temperature = HOTTEST * (COLDEST / HOTTEST) ** part
        size = FIRST_STEP * (LAST_STEP / FIRST_STEP) ** part
        draw = draw_near(z, temperature, generator)
        pictures = problem.pictures(draw.softened(SOFT_PICTURE)[None])
        bits = draw.expected(problem.rated(draw.softened(SOFT_CONTEXT))).sum()
        cost = problem.distance(pictures)[0] / trade_off + bits
        (gradient,) = torch.autograd.grad(cost, z)
        first.lerp_(gradient, 1 - FIRST_DECAY)
        second.mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1 - SECOND_DECAY)
        step = first / (1 - FIRST_DECAY ** (i + 1))
        step /= (second / (1 - SECOND_DECAY ** (i + 1))).sqrt_() + 1e-3
        with torch.no_grad():
            z -= size * movable * step
    return z.detach()


def draw_near(z: Tensor, temperature: float, generator: torch.Generator) -> Draw:
    """Draw symbols near latents (equations 9 and 10 of the source): the colder, the nearer one."""
    below = z.detach().floor()
    part = (z - below).clamp(EDGE, 1 - EDGE)
    odds = (torch.atanh(part) - torch.atanh(1 - part)) / temperature
    # Training may have latents where the generator is not.
    uniform = torch.rand(z.shape, generator=generator).to(z.device).clamp(1e-6, 1 - 1e-6)
    return Draw(below, odds, torch.logit(uniform))
