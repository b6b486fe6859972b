"""Latent search: back-propagation through a frozen generator under a fixed budget.

The method is that of BPGAN (Liu, Cao and Kim, ICASSP 2020): minimize the distance between the
generator's output and the signal over the latent itself. Here the budget is a number of
iterations a chunk, the start is the encoder's guess, the cost counts bits as well, and what the
quantizer leaves undecided is settled by trying the candidates.

Costs are in bits: ``distortion / trade_off + bits``. In that unit the weights of the quantizer
and of the rate mean the same at every rung of the ladder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from streamcodec.core.quantizer import Admm, Quantizer, UniformRounding
from streamcodec.errors import InputError

QUANTIZERS = ("admm", "uniform")
"""Names of the quantizers that a caller may select."""


class Problem(Protocol):
    """What one chunk asks of the search. Latents are in lattice units, ``(n, steps, dim)``."""

    def distortion(self, latents: Tensor) -> Tensor:
        """Distance between G's output and the chunk for each of ``n`` candidates, ``(n,)``."""

    def bits(self, latents: Tensor) -> Tensor:
        """Bits that each candidate costs (differentiable), ``(n,)``."""


@dataclass(frozen=True)
class Budget:
    """How hard to search.

    Attributes
    ----------
    iterations : int
        Gradient steps. 0 takes the encoder's guess as it is.
    candidates : int
        Moves of single symbols that a round after the projection tries. 0 tries none.
    rounds : int
        Such rounds at most.
    step_size : float
        Largest first move of a latent, in lattice units; it shrinks to a tenth by a cosine.
    rho : float
        Weight of the augmented term of ADMM, bits per squared lattice unit.
    """

    iterations: int
    candidates: int = 0
    rounds: int = 1
    step_size: float = 0.12
    rho: float = 1.0


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    symbols : Tensor
        Lattice point, float tensor of integers, ``(steps, dim)``.
    correction : Tensor
        Symbols minus the encoder's guess: a start for the next chunk.
    iterations : int
        Iterations done; fewer than the budget if time ran out.
    """

    symbols: Tensor
    correction: Tensor
    iterations: int


def never() -> bool:
    """Time that does not run out."""
    return False


class LatentSearch:
    """Searches one chunk's latent.

    Parameters
    ----------
    quantizer : str
        ``"admm"`` or ``"uniform"``.
    budget : Budget
        How hard to search.

    Raises
    ------
    InputError
        If the quantizer is unknown or the budget negative.
    """

    def __init__(self, quantizer: str, budget: Budget) -> None:
        if quantizer not in QUANTIZERS:
            raise InputError(f"quantizer must be one of {QUANTIZERS}, not {quantizer!r}")
        if budget.iterations < 0 or budget.candidates < 0:
            raise InputError(f"a search budget cannot be negative: {budget}")
        self.quantizer = quantizer
        self.budget = budget

    def __call__(
        self,
        problem: Problem,
        guess: Tensor,
        trade_off: float,
        *,
        warm_start: Tensor | None = None,
        expired: Callable[[], bool] = never,
    ) -> Found:
        """Search from the encoder's guess.

        Parameters
        ----------
        problem : Problem
            Distortion and rate of the chunk.
        guess : Tensor
            E's latent in lattice units, ``(steps, dim)``.
        trade_off : float
            Distortion that is worth one bit (lambda).
        warm_start : Tensor, optional
            Correction that the last chunk's search made; tried as a second start.
        expired : callable
            Asked before each iteration; once true, the search settles what it has.
        """
        if self.budget.iterations == 0:
            symbols = guess.round()
            return Found(symbols, symbols - guess, 0)

        def cost(latents: Tensor) -> Tensor:
            return problem.distortion(latents) / trade_off + problem.bits(latents)

        z = guess
        if warm_start is not None:
            starts = torch.stack([guess, guess + warm_start])
            with torch.no_grad():
                z = starts[int(cost(starts).argmin())]
        quantizer: Quantizer = (
            Admm(z, self.budget.rho) if self.quantizer == "admm" else UniformRounding()
        )
        z, done = self._descend(cost, quantizer, z, expired)
        symbols = quantizer.settle(z)
        if self.budget.candidates and not expired():
            symbols = _settle(cost, z, symbols, self.budget, expired)
        return Found(symbols, z - guess, done)

    def _descend(
        self,
        cost: Callable[[Tensor], Tensor],
        quantizer: Quantizer,
        z: Tensor,
        expired: Callable[[], bool],
    ) -> tuple[Tensor, int]:
        """Adam on the latent; written out because an optimizer object a chunk costs more."""
        budget = self.budget
        z = z.clone().requires_grad_()
        first = torch.zeros_like(z)
        second = torch.zeros_like(z)
        beta1, beta2 = 0.8, 0.95
        for i in range(budget.iterations):
            if expired():
                return z.detach(), i
            # The lattice pulls harder as the search goes on: first find, then settle.
            progress = (i + 1) / budget.iterations
            loss = cost(z[None])[0] + progress * quantizer.penalty(z)
            (gradient,) = torch.autograd.grad(loss, z)
            first = beta1 * first + (1 - beta1) * gradient
            second = beta2 * second + (1 - beta2) * gradient.square()
            step = (first / (1 - beta1 ** (i + 1))) / (
                (second / (1 - beta2 ** (i + 1))).sqrt() + 1e-3
            )
            rate = budget.step_size * (0.1 + 0.9 * (1 - i / budget.iterations))
            with torch.no_grad():
                z -= rate * step
            quantizer.update(z)
        return z.detach(), budget.iterations


def _settle(
    cost: Callable[[Tensor], Tensor],
    z: Tensor,
    symbols: Tensor,
    budget: Budget,
    expired: Callable[[], bool],
) -> Tensor:
    """Improve a lattice point by moving its least certain symbols to the next integer.

    The first round tries the second-nearest point where ``z`` lies nearly halfway; each further
    round goes where the gradient at the lattice point promises most. A round is one batch of
    single moves and one batch of the helpful ones together; the cheapest of all candidates
    stays, the point itself among them.
    """
    tried = torch.zeros(symbols.numel(), dtype=torch.bool)
    for number in range(budget.rounds):
        if expired():
            break
        if number == 0:
            slope = (z - symbols).flatten()
        else:
            point = symbols.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(cost(point[None])[0], point)
            slope = -gradient.flatten()
        better = _best_moves(cost, symbols, slope.masked_fill(tried, 0.0), budget.candidates, tried)
        if better is symbols and number > 0:
            break
        symbols = better
    return symbols


@torch.no_grad()
def _best_moves(
    cost: Callable[[Tensor], Tensor], symbols: Tensor, slope: Tensor, count: int, tried: Tensor
) -> Tensor:
    """One round: unit moves along ``slope`` where it is steepest."""
    count = min(count, slope.numel())
    where = slope.abs().topk(count).indices
    moves = torch.zeros(count, slope.numel())
    moves[torch.arange(count), where] = torch.where(slope[where] >= 0, 1.0, -1.0)
    flat = symbols.flatten()
    costs = cost(torch.cat([flat[None], flat + moves]).reshape(-1, *symbols.shape))
    gains = costs[1:] - costs[0]
    order = gains.argsort()
    helpful = order[gains[order] < 0]
    # A move that did not help alone is left alone from now on.
    tried[where[order[len(helpful) :]]] = True
    if len(helpful) == 0:
        return symbols
    combined = (flat + moves[helpful].cumsum(0)).reshape(-1, *symbols.shape)
    return combined[int(cost(combined).argmin())]
