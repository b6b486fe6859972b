"""Landing: from what a window's search has found to a lattice point of a wanted number of bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from streamcodec.core.integer_network import MAX_SYMBOL
from streamcodec.core.lattice import Moves, by_price, moves_of, price_for
from streamcodec.image.items import Item, wire_bytes
from streamcodec.image.problem import WindowProblem
from streamcodec.image.rate import NEARLY
from streamcodec.image.search import Searched

INSIDE = 0.49
"""How far a latent may be from the integer that it is to round to."""

LANDINGS = 4
"""Times that putting a window on the lattice is repeated if its bytes are too many or too few."""

CLOSE = 0.998
"""Part of its bytes that a window has to use."""

WITHIN_REACH = 0.9
"""Where the moves foreseen spend less than this part of the bits, all of them are made and there
is more to gain from the point that they lead to."""

SPENDINGS = 4
"""Times that bits are spent, half as many each time, if they bring nothing."""


class LatticePoints(Protocol):
    """Lattice points of a window at more or fewer bits.

    Attributes
    ----------
    found : Tensor
        The point where no number of bits is asked for, ``(h, w, dim)``.
    """

    found: Tensor

    def with_bits(self, bits: float) -> tuple[Tensor, float]:
        """A point of at most ``bits``, or nearly, and its bits under the prior."""


class GuessPoints:
    """Points around E's guess, with no generator in sight.

    Symbols are put where squared distance from the guess and bits together cost least.
    """

    def __init__(self, problem: WindowProblem, guess: Tensor) -> None:
        self._settled = problem.settling(guess)
        self.found = self._settled(0.0)[0]

    def with_bits(self, bits: float) -> tuple[Tensor, float]:
        """The point at the slope that comes to so many bits."""
        return self._settled(price_for(bits, lambda slope: self._settled(slope)[1]))


def begun_at(guess: Tensor, symbols: Tensor) -> Tensor:
    """Latents as near to a guess as they can be and round to ``symbols``.

    A search that begins with more bits than it may spend has its price driven up until they are
    saved, and ends with fewer.
    """
    return guess.clamp(symbols - INSIDE, symbols + INSIDE)


class SearchedPoints:
    """Points around what a search found.

    The moves are made that cost the least distance for a bit saved, or bring the most for a bit
    spent.
    """

    def __init__(self, problem: WindowProblem, searched: Searched) -> None:
        self._problem = problem
        self._curvature = searched.curvature
        self._moves = searched.moves
        self._onward: Tensor | None = None
        self.found = searched.moves.symbols.clamp(-MAX_SYMBOL, MAX_SYMBOL)

    def with_bits(self, bits: float) -> tuple[Tensor, float]:
        """The point that comes to so many bits by moves from where the search ended.

        Bits are only spent for what they bring: where many moves at once do harm there are fewer.
        What one move of each symbol cannot do is done by more, the next time it is asked for.
        """
        if self._onward is not None:
            onward = moves_of(self._problem, self._onward, self._curvature)
            self._moves, self._onward = onward.warier(self._moves.caution), None
        moves = self._moves
        fewer = moves.look.bits > bits
        aim = bits
        for _ in range(SPENDINGS):
            found, spent = self._moved(moves, aim, fewer=fewer)
            if fewer or self._problem.lattice_distance(found) < moves.look.distance:
                if spent > bits or spent < WITHIN_REACH * bits:
                    self._onward = found
                return found, spent
            aim = (aim + moves.look.bits) / 2
        # Nothing that was foreseen comes true.
        return moves.symbols, moves.look.bits

    def _moved(self, moves: Moves, bits: float, *, fewer: bool) -> tuple[Tensor, float]:
        point = by_price(moves, fewer=fewer)
        price = price_for(bits, lambda p: self._problem.lattice_bits(point(p)))
        found = point(price).clamp(-MAX_SYMBOL, MAX_SYMBOL)
        return found, self._problem.lattice_bits(found)


def land(
    points: LatticePoints,
    allowed: float | None,
    items_of: Callable[[Tensor], list[Item]],
    beside: float = 0.0,
) -> tuple[Tensor, list[Item]]:
    """Choose a window's symbols and the items that hold them.

    Parameters
    ----------
    allowed
        Bits that the file may grow by; any number if None.
    beside
        Bits that items take beside those of the prior's reckoning, as far as is known.
    """
    if allowed is None:
        return points.found, items_of(points.found)
    landed = []
    aim = max(0.0, allowed * NEARLY - beside)
    for _ in range(LANDINGS):
        symbols, expected = points.with_bits(aim)
        items = items_of(symbols)
        spent = 8 * wire_bytes(items)
        # Within the bits and most of them, or else the fewest.
        landed.append((spent if spent <= allowed else -spent, symbols, items))
        if CLOSE * allowed <= spent <= allowed:
            break
        # What the coder spends beyond the prior's reckoning is about the same next time.
        aim = max(0.0, NEARLY * allowed - (spent - expected))
    _, symbols, items = max(landed, key=lambda merit_first: merit_first[0])
    return symbols, items
