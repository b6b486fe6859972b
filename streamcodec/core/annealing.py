"""Annealed search: gradient steps on latents that are rounded at random, less and less so.

Each symbol is drawn near one of the two integers around its latent, nearer the colder it is, and
likelier the nearer one. Gradients are thereby those of the cost at lattice points rather than
between them, and the latents settle where rounding does no harm. Of the ways tried to bring
latents to a lattice this one alone gets past what moves on the lattice find by themselves: on three
held-out photographs forty steps of it and of the descent lowered the cost as far as the descent
alone did not in eighty.

Source: Yang, Bamler and Mandt, *Improving inference for neural image compression*, NeurIPS 2020
(stochastic Gumbel annealing, section 3.2), except that annealing stops while it is warm: the
descent on the lattice that follows does the rest better.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from streamcodec.core.lattice import silent_channels
from streamcodec.core.search import Problem

STEP_SIZE = 0.03
"""Of Adam, lattice units. On coarse lattices 0.05 loses a fifth of the gain and more, on fine
ones 0.02 a tenth (held-out photographs)."""

HOTTEST, COLDEST = 0.4, 0.2
"""Temperatures at the first and after the last step. At 0.7 to 0.3 so many symbols of a coarse
lattice, where most are zero, are drawn beside it that the steps lead away from what is good."""

FIRST_DECAY, SECOND_DECAY = 0.9, 0.99
"""Of Adam's moments."""

EDGE = 1e-4
"""Latents keep this distance from integers, where the odds would be infinite."""


def anneal(
    problem: Problem,
    guess: Tensor,
    trade_off: float,
    iterations: int,
    generator: torch.Generator,
    heard: Callable[[Tensor], None],
) -> Tensor:
    """Search from a guess; gives the latents at the end, to be rounded, ``(..., dim)``.

    Parameters
    ----------
    problem
        Its latents carry a leading dimension of 1.
    guess
        The encoder's latents in lattice units.
        Channels that round to zero everywhere stay as they are, see
        :func:`streamcodec.core.lattice.silent_channels`.
    trade_off
        Distance that is worth one bit.
    iterations
        Steps, one pass through the generator and back each.
    heard
        Told before each step where the latents are: what is drawn around them takes more bits
        than they do rounded.
    """
    z = guess.clone().requires_grad_()
    first, second = torch.zeros_like(z), torch.zeros_like(z)
    size = STEP_SIZE * (~silent_channels(guess)).float()
    for i in range(iterations):
        heard(z.detach())
        temperature = HOTTEST * (COLDEST / HOTTEST) ** (i / iterations)
        drawn = rounded_at_random(z, temperature, generator)[None]
        distance = problem.distance(problem.pictures(drawn))[0] / trade_off
        (gradient,) = torch.autograd.grad(distance + problem.bits(drawn)[0], z)
        first.lerp_(gradient, 1 - FIRST_DECAY)
        second.mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1 - SECOND_DECAY)
        step = first / (1 - FIRST_DECAY ** (i + 1))
        step /= (second / (1 - SECOND_DECAY ** (i + 1))).sqrt_() + 1e-3
        with torch.no_grad():
            z -= size * step
    return z.detach()


def rounded_at_random(z: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Latents drawn near the integers around them, differentiable.

    The relaxed choice of two (equations 9 and 10 of the source): the difference of two Gumbel
    variables is a logistic one.
    """
    below = z.detach().floor()
    part = (z - below).clamp(EDGE, 1 - EDGE)
    odds = (torch.atanh(part) - torch.atanh(1 - part)) / temperature
    uniform = torch.rand(z.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    return below + torch.sigmoid((odds + torch.logit(uniform)) / temperature)
