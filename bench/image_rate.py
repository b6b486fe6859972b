"""Setting one picture to a rate: a bracketing search on a codec's quality parameter.

The logarithm of a file's size is nearly linear in the steps of the parameter, so between bisecting
probes the search goes where the line through the bracket meets the budget. Sizes do not rise
strictly, so the neighbours above what it finds are looked at, too. What is found depends on
picture and budget alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Rule = Literal["below", "nearest"]
"""Which size to take: the largest that does not exceed the budget, or the nearest to it."""

RULES: tuple[Rule, ...] = ("below", "nearest")

LOOKAHEAD = 2
"""Settings tried above the one that the search found."""

CLOSE = 0.002
"""A file that leaves less than this part of the budget is not improved on."""

BISECTIONS = 2
"""Probes in the middle before sizes on both sides are likely to be known."""


@dataclass(frozen=True)
class Encoded:
    """A picture as one codec wrote it at one setting.

    Attributes
    ----------
    data : bytes
        The whole file, headers included.
    setting : float
        The codec's quality parameter.
    cpu_seconds, wall_seconds : float
        What encoding took.
    """

    data: bytes
    setting: float
    cpu_seconds: float
    wall_seconds: float

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


def budget_bytes(bpp: float, area: int) -> int:
    """Bytes that ``area`` pixels may take at ``bpp`` bits a pixel."""
    return int(bpp * area / 8.0)


def choose(tried: list[Encoded], budget: int, rule: Rule) -> Encoded:
    """The best of several files for a budget in bytes; the smallest if all exceed it."""
    below = [encoded for encoded in tried if encoded.size <= budget]
    if not below:
        return min(tried, key=lambda encoded: encoded.size)
    if rule == "nearest":
        return min(tried, key=lambda encoded: abs(encoded.size - budget))
    return max(below, key=lambda encoded: encoded.size)


def fit(encode: Callable[[int], Encoded], steps: int, budget: int, rule: Rule) -> Encoded:
    """Search the steps of a quality parameter.

    Parameters
    ----------
    encode : callable
        Encodes at a step, 0 (smallest file) to ``steps - 1``; called log2(steps) times or less.
    steps : int
        How many there are, at least 1.
    budget : int
        Bytes.
    rule : {"below", "nearest"}
        What to take.

    Returns
    -------
    Encoded
        With the size that the rule asks for; the smallest file if every one exceeds the budget.
    """
    tried: dict[int, Encoded] = {}
    low, high = -1, steps
    while high - low > 1:
        probe = _next_probe(tried, low, high, budget)
        tried[probe] = encode(probe)
        if budget * (1.0 - CLOSE) <= tried[probe].size <= budget:
            return tried[probe]
        if tried[probe].size <= budget:
            low = probe
        else:
            high = probe
    for step in range(high, min(high + LOOKAHEAD, steps)):
        if step not in tried:
            tried[step] = encode(step)
    return choose(list(tried.values()), budget, rule)


def _next_probe(tried: dict[int, Encoded], low: int, high: int, budget: int) -> int:
    """A step strictly between ``low`` and ``high``, the largest too small and smallest too big."""
    middle = (low + high) // 2
    # Every third probe bisects, so that a bent curve cannot make the search a walk.
    if len(tried) < BISECTIONS or len(tried) % 3 == 2 or not {low, high} <= tried.keys():
        return middle
    below, above = (math.log(tried[step].size) for step in (low, high))
    if above <= below:
        return middle
    part = (math.log(budget) - below) / (above - below)
    return min(max(low + round(part * (high - low)), low + 1), high - 1)


def fit_ratio(
    encode: Callable[[float], Encoded],
    bpp: float,
    budget: int,
    rule: Rule,
    tolerance: float,
    attempts: int,
    largest: float = math.inf,
) -> Encoded:
    """For a codec that takes a rate: correct what is asked for by what came out.

    Parameters
    ----------
    encode : callable
        Encodes at the bits a pixel asked for.
    bpp : float
        The rate wanted.
    budget : int
        The same in bytes.
    rule : {"below", "nearest"}
        What to take.
    tolerance : float
        A file this much, relatively, off the budget (below it, for ``below``) is good enough.
    attempts : int
        How often to encode at most.
    largest : float
        What the codec can be asked for at most, bits a pixel.
    """
    aim = budget if rule == "nearest" else budget * (1.0 - tolerance / 2.0)
    asked = bpp
    tried = []
    for _ in range(attempts):
        encoded = encode(asked)
        tried.append(encoded)
        excess = encoded.size / budget - 1.0
        if -tolerance <= excess <= (tolerance if rule == "nearest" else 0.0):
            break
        following = min(asked * aim / encoded.size, largest)
        if following == asked:
            break  # It was asked for all it has.
        asked = following
    return choose(tried, budget, rule)
