"""Latent search: back-propagation through a frozen generator under a fixed budget.

The method is that of BPGAN (Liu, Cao and Kim, ICASSP 2020): minimize the distance between the
generator's output and the signal over the latent itself. Here the budget is a number of
iterations a chunk, the start is the encoder's guess, the cost counts bits as well, and what the
quantizer leaves undecided is settled on the lattice.

Settlement is ours. A round makes unit moves of single symbols, all in one batch through G, and
keeps what each does to the picture. Those changes are then superposed to foresee what several
moves do together, which needs no G: moves are picked one by one, each in the light of those
before it, and may be taken back. Only points on that path go through G again.

Costs are in bits: ``distance / trade_off + bits``. In that unit the weights of the quantizer
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

CHECKPOINTS = 8
"""Points on a path that are tried through G at most, its end among them."""


class Problem(Protocol):
    """What one chunk asks of the search. Latents are in lattice units, ``(n, steps, dim)``."""

    def pictures(self, latents: Tensor) -> Tensor:
        """What G makes of each of ``n`` candidates (differentiable), ``(n, ...)``."""

    def distance(self, pictures: Tensor) -> Tensor:
        """Distance of each picture from the chunk (differentiable), ``(n,)``."""

    def bits(self, latents: Tensor) -> Tensor:
        """Bits that each candidate costs (differentiable), ``(n,)``."""


@dataclass(frozen=True)
class Budget:
    """How hard to search.

    Attributes
    ----------
    iterations : int
        Gradient steps before the latent is put on the lattice.
    candidates : int
        Moves of single symbols that a round of settlement tries. 0 tries none.
    rounds : int
        Such rounds at most.
    step_size : float
        Largest first move of a latent, in lattice units; it shrinks to a tenth by and by.
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
        Where the gradient steps ended minus the encoder's guess: a start for the next chunk.
    iterations : int
        Gradient steps done; fewer than the budget if time ran out.
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
            Distance and rate of the chunk.
        guess : Tensor
            E's latent in lattice units, ``(steps, dim)``.
        trade_off : float
            Distance that is worth one bit (lambda).
        warm_start : Tensor, optional
            Correction that the last chunk's search made; tried as a second start of the
            gradient steps.
        expired : callable
            Asked before each iteration; once true, the search settles what it has.
        """
        cost = _Cost(problem, trade_off)
        z, done = guess, 0
        if self.budget.iterations and warm_start is not None:
            starts = torch.stack([guess, guess + warm_start])
            with torch.no_grad():
                z = starts[int(cost(starts).argmin())]
        quantizer: Quantizer = (
            Admm(z, self.budget.rho) if self.quantizer == "admm" else UniformRounding()
        )
        z, done = self._descend(cost, quantizer, z, expired)
        symbols = quantizer.settle(z)
        if self.budget.candidates:
            symbols = _settle(cost, z - symbols, symbols, self.budget, expired)
        return Found(symbols, z - guess, done)

    def _descend(
        self,
        cost: _Cost,
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


class _Cost:
    """A problem's cost in bits, whole or in its parts."""

    def __init__(self, problem: Problem, trade_off: float) -> None:
        self.problem = problem
        self.trade_off = trade_off

    def __call__(self, latents: Tensor) -> Tensor:
        return self.of(self.problem.pictures(latents), self.problem.bits(latents))

    def of(self, pictures: Tensor, bits: Tensor) -> Tensor:
        return self.problem.distance(pictures) / self.trade_off + bits


@dataclass(frozen=True)
class _Point:
    """A lattice point and what is known there."""

    symbols: Tensor
    picture: Tensor
    bits: Tensor
    cost: float


def _settle(
    cost: _Cost,
    remainder: Tensor,
    symbols: Tensor,
    budget: Budget,
    expired: Callable[[], bool],
) -> Tensor:
    """Improve a lattice point by moving its symbols to neighbouring integers.

    The first round after gradient steps tries the second-nearest integer where their result is
    farthest from its own (``remainder``); every other round goes where the gradient at the
    lattice point promises most.
    """
    for number in range(budget.rounds):
        if expired():
            break
        if number == 0 and budget.iterations:
            point, slope = _point(cost, symbols), remainder.flatten()
        else:
            point, slope = _with_gradient(cost, symbols)
        symbols = _round(cost, point, slope, budget.candidates)
        if symbols is point.symbols:
            break
    return symbols


@torch.no_grad()
def _point(cost: _Cost, symbols: Tensor) -> _Point:
    picture = cost.problem.pictures(symbols[None])
    bits = cost.problem.bits(symbols[None])
    return _Point(symbols, picture, bits, float(cost.of(picture, bits)))


def _with_gradient(cost: _Cost, symbols: Tensor) -> tuple[_Point, Tensor]:
    """A point, and the direction in which its cost falls."""
    at = symbols.clone().requires_grad_()
    picture, bits = cost.problem.pictures(at[None]), cost.problem.bits(at[None])
    total = cost.of(picture, bits)[0]
    (gradient,) = torch.autograd.grad(total, at)
    point = _Point(symbols, picture.detach(), bits.detach(), float(total.detach()))
    return point, -gradient.flatten()


@torch.no_grad()
def _round(cost: _Cost, point: _Point, slope: Tensor, count: int) -> Tensor:
    """One round: unit moves along ``slope`` where it is steepest, alone and together.

    Gives the cheapest point that went through G, ``point`` itself among them.
    """
    count = min(count, slope.numel())
    where = slope.abs().topk(count).indices
    moves = torch.zeros(count, slope.numel())
    moves[torch.arange(count), where] = torch.where(slope[where] >= 0, 1.0, -1.0)
    flat = point.symbols.flatten()
    singles = (flat + moves).reshape(-1, *point.symbols.shape)
    pictures, bits = cost.problem.pictures(singles), cost.problem.bits(singles)
    costs = cost.of(pictures, bits)
    path = _superposed(cost, point, pictures - point.picture, bits - point.bits)
    tried = [(float(costs.min()), singles[int(costs.argmin())])]
    if len(path) > 1:
        stops = torch.linspace(0, len(path), CHECKPOINTS + 1)[1:].ceil().long().unique() - 1
        together = (flat + path[stops] @ moves).reshape(-1, *point.symbols.shape)
        costs = cost(together)
        tried.append((float(costs.min()), together[int(costs.argmin())]))
    best, symbols = min(tried, key=lambda entry: entry[0])
    return symbols if best < point.cost else point.symbols


def _superposed(cost: _Cost, point: _Point, changes: Tensor, bits: Tensor) -> Tensor:
    """Choose moves that together should cost least if their effects just add up.

    Parameters
    ----------
    changes, bits : Tensor
        What each move adds to the picture ``(count, ...)`` and to the bits ``(count,)``.

    Returns
    -------
    Tensor
        ``(length, count)``: 1 for the moves made by then, 0 for the others.
    """
    changes, bits = changes.clone(), bits.clone()
    picture, spent, least = point.picture, point.bits, point.cost
    used = torch.zeros(len(bits))
    path = []
    for _ in range(len(bits)):
        costs = cost.of(picture + changes, spent + bits)
        best = int(costs.argmin())
        if float(costs[best]) >= least:
            break
        least = float(costs[best])
        picture, spent = picture + changes[best], spent + bits[best]
        # Made once, a move can only be taken back.
        changes[best].neg_()
        bits[best].neg_()
        used[best] = 1.0 - used[best]
        path.append(used.clone())
    return torch.stack(path) if path else used.new_zeros(0, len(used))
