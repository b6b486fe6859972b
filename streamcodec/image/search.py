"""Joint search of the latents of a window, their surroundings held fast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamcodec.core.annealing import anneal
from streamcodec.core.integer_network import MAX_SYMBOL
from streamcodec.core.lattice import Moves, descend
from streamcodec.core.search import LatentSearch
from streamcodec.image.problem import WindowProblem
from streamcodec.image.rate import PriceControl
from streamcodec.image.settings import ANNEALED, ImageBudget


@dataclass(frozen=True)
class Searched:
    """What the search of a window found.

    Attributes
    ----------
    moves : Moves
        The lattice point ``(h, w, dim)`` and what can be done from there.
    curvature : Tensor
        Of the distance along each symbol, ``(h, w, dim)``.
    """

    moves: Moves
    curvature: Tensor


def search_window(
    problem: WindowProblem,
    guess: Tensor,
    trade_off: float,
    quantizer: str,
    budget: ImageBudget,
    control: PriceControl,
) -> Searched:
    """Search a window: gradient steps from E's guess, then a descent on the lattice.

    The descent begins at E's guess or where the gradient steps ended, wherever on the lattice the
    cost is less. It ends near the bits that ``control`` aims at.
    """
    # Equal pictures give equal bytes.
    generator = torch.Generator().manual_seed(0)
    if quantizer == ANNEALED:
        steps = budget.steps.iterations
        found = anneal(problem, guess, trade_off, steps, generator, problem.hear)
    else:
        found = guess + LatentSearch(quantizer, budget.steps)(problem, guess, trade_off).correction
    starts = [z.round().clamp(-MAX_SYMBOL, MAX_SYMBOL) for z in (guess, found)]
    symbols = min(starts, key=lambda s: problem.lattice_cost(s, control.price))
    curvature = problem.curvature(symbols, generator)
    moves = descend(problem, symbols, curvature, budget.rounds, control, generator)
    return Searched(moves, curvature)
