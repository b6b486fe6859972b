"""Descent on the lattice: unit moves of many symbols at once, chosen by gradient and curvature.

A search that ends by rounding loses most of what it has found when the lattice is coarse. Here
the point is on the lattice all the time. Gradient and curvature of the distance foresee what moving
a symbol by one does to it; the prior says what that does to the bits. Some of the moves that
promise a gain are made, drawn at random and the likelier the more they promise; drawing them keeps
symbols that depend on each other from all moving for the same reason. Nothing here knows what the
symbols mean. One round costs one pass through the generator and back, however many symbols there
are; trying them one by one, as :mod:`streamcodec.core.search` does for chunks of a hundred, would
cost one for each.

The method is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

LEAST_CURVATURE = 1e-3
"""Bits for a squared unit, at least: the distance has no negative curvature to speak of."""

UNIT_MOVE = 1.3
"""How much more curved the distance is over a unit move, with others beside it, than at a point:
on held-out photographs the moves that a round made showed 1.2 to 1.4 times the curvature there."""

SHARE, SURE_GAIN = 0.5, 2.0
"""Share of those moves that are made in one round which gain so many bits at the price of the time,
or more; of lesser ones fewer, as their gain is. Held-out photographs come out 0.8 % cheaper than
where 0.3 of all moves are made that gain anything: many small ones spoil each other."""

SHRINK, GROW = 0.6, 1.1
"""What a round that failed and one that succeeded make of the share of moving symbols."""

BOLD = 0.9
"""What a round that succeeded makes of the factor on the curvature, which is never below 1."""

LEAST_WARY, MOST_WARY = 1.1, 3.0
"""A round that failed tells how curved the distance was over its moves; the factor grows towards
that by so much at least and at most. Over the wide steps of a coarse lattice, and where a distance
is nothing like a quadratic, as MS-SSIM in flat parts of a picture, it is five times as curved as at
a point."""

FORBIDDEN = 1e9
"""Curvature, bits a squared unit, that no gain outweighs."""

LOWEST_PRICE, HIGHEST_PRICE = 1 / 4096, 64.0
"""Prices of a bit that are looked at. At the highest next to nothing is left of a picture."""

MET = 0.9995
"""Part of the bits at which a price is good enough."""

PRICES_TRIED = 24
"""Prices that are tried at most; five to nine mostly do. Each costs a pass of the prior."""


@dataclass(frozen=True)
class Look:
    """A lattice point as the problem sees it; distances in bits.

    Attributes
    ----------
    distance, bits : float
    distance_gradient : Tensor
    context_gradient : Tensor
        Of the bits, as far as a symbol is the context of others.
    own_bits : callable
        Bits of each symbol of another point, coded in the context that this one is.
    """

    distance: float
    bits: float
    distance_gradient: Tensor
    context_gradient: Tensor
    own_bits: Callable[[Tensor], Tensor]


class LatticeProblem(Protocol):
    """What the descent asks. All tensors are ``(..., channels)`` of one shape."""

    def look(self, symbols: Tensor) -> Look:
        """Cost and gradients of a lattice point: one pass through the generator and back."""


class Price(Protocol):
    """What a bit is worth, in units of the distance."""

    price: float

    def heard(self, bits: float) -> None:
        """Take notice of the bits that the search is at; the price may change."""


@dataclass(frozen=True)
class Moves:
    """A lattice point, and what moving each of its symbols by -1 or +1 should do.

    Attributes
    ----------
    symbols : Tensor
        The point.
    look : Look
    distance, bits, own_bits : Tensor
        Changes of the distance, of all bits, and of those of the moving symbol alone, ``(2, ...)``.
    bend : Tensor
        Part of the change of the distance that the curvature makes, ``(...)``.
    caution : float
        Factor on the curvature that is in these.
    """

    symbols: Tensor
    look: Look
    distance: Tensor
    bits: Tensor
    own_bits: Tensor
    bend: Tensor
    caution: float = 1.0

    def warier(self, factor: float) -> Moves:
        """The same moves where the curvature is held for ``factor`` times as large."""
        more = (factor - 1.0) * self.bend
        return replace(
            self,
            distance=self.distance + more,
            bend=self.bend + more,
            caution=self.caution * factor,
        )

    def cost(self, price: float) -> float:
        """Of the point, at a price of a bit."""
        return self.look.distance + price * self.look.bits

    def bent(self, there: Moves) -> float:
        """Curvature that the moves to another point met, in units of the one that was foreseen."""
        up, moved = there.symbols > self.symbols, there.symbols != self.symbols
        foreseen = torch.where(up, self.distance[1], self.distance[0]) - self.bend
        bend = float(self.bend.expand_as(moved)[moved].sum())
        found = there.look.distance - self.look.distance - float(foreseen[moved].sum())
        return found / max(bend, LEAST_CURVATURE)

    def made(self, draws: Tensor, share: float, price: float) -> Tensor:
        """The point after some of the moves that gain at a price.

        ``draws`` are uniform numbers, one a symbol; ``share`` of the sure moves are made.
        """
        cost, way = (self.distance + price * self.bits).min(dim=0)
        odds = share * (cost / (-SURE_GAIN * price)).clamp(max=1.0)
        return torch.where(draws < odds, self.symbols + (2.0 * way - 1.0), self.symbols)


def product_form(curvature: Tensor) -> Tensor:
    """Smooth a noisy curvature ``(..., channels)``: one number a channel times one a position.

    On photographs that leaves a deviation of a third of what a mean of many probes shows; channels
    alone leave twice as much.
    """
    positions = tuple(range(curvature.dim() - 1))
    channel = curvature.mean(dim=positions).clamp_min(LEAST_CURVATURE)
    # The mean of the ratios would be all noise where the distance does not see a channel.
    position = curvature.mean(dim=-1, keepdim=True).clamp_min(0.0) / channel.mean()
    return (channel * position).clamp_min(LEAST_CURVATURE)


def silent_channels(guess: Tensor) -> Tensor:
    """Channels of a guess ``(..., channels)`` that round to zero everywhere, ``(channels,)`` bool.

    On a coarse lattice a unit of such a channel may be many times what the generator has ever been
    shown of it. Its gradient there tells nothing of what a move would do, which can be thousands of
    times as bad as it promises.
    """
    return (guess.round() == 0).flatten(0, -2).all(dim=0)


def moves_of(problem: LatticeProblem, symbols: Tensor, curvature: Tensor) -> Moves:
    """Foresee all unit moves from a lattice point.

    Parameters
    ----------
    curvature
        Second derivative of the distance along each symbol, of a shape that fits ``symbols``.
    """
    look = problem.look(symbols)
    half, now = 0.5 * UNIT_MOVE * curvature, look.own_bits(symbols)
    pull, push = look.distance_gradient, look.context_gradient
    own = torch.stack([look.own_bits(symbols - 1.0) - now, look.own_bits(symbols + 1.0) - now])
    return Moves(
        symbols,
        look,
        torch.stack([half - pull, half + pull]),
        own + torch.stack([-push, push]),
        own,
        half,
    )


def descend(
    problem: LatticeProblem,
    symbols: Tensor,
    curvature: Tensor,
    rounds: int,
    price: Price,
    generator: torch.Generator,
) -> Moves:
    """Improve a lattice point round by round; gives the last one and its moves.

    A round that does not lower the cost is taken back; in the next fewer symbols move, and the
    curvature is held for more, as that round has shown it. The price hears the bits after every
    round. It is one price for all symbols and moves slowly: to meet a number of bits by each
    round's own few moves would make some at a price at which the next takes them back, and the
    distance would grow.
    """
    moves, share, caution = moves_of(problem, symbols, curvature), SHARE, 1.0
    for _ in range(rounds):
        draws = torch.rand(symbols.shape, generator=generator)
        there = moves.warier(caution).made(draws, share, price.price)
        if torch.equal(there, moves.symbols):
            # Nothing that was drawn pays; when few moves are left they must be found.
            share, caution = min(1.0, share / SHRINK), max(1.0, caution * BOLD)
            continue
        trial = moves_of(problem, there, curvature)
        if trial.cost(price.price) < moves.cost(price.price):
            moves, share = trial, max(share, min(SHARE, share * GROW))
            caution = max(1.0, caution * BOLD)
        else:
            share *= SHRINK
            shown = moves.bent(trial)
            caution = min(max(shown, caution * LEAST_WARY), caution * MOST_WARY)
        price.heard(moves.look.bits)
    return moves.warier(caution)


def price_for(bits: float, bits_at: Callable[[float], float]) -> float:
    """The price at which ``bits_at(price)``, which falls, comes to ``bits`` from below.

    0 if even that is short of it; the highest price if nothing brings it down.

    By false position in the logarithms of both; an end that stays where it is counts for half as
    much the next time (the Illinois rule: Dowell and Jarratt, BIT 11, 1971). Far from the price
    that is looked for the bits hardly change, so the interval to begin with is a narrow one around
    1.
    """
    free = bits_at(0.0)
    if free <= bits:
        return 0.0
    lowest, highest = math.log(LOWEST_PRICE), math.log(HIGHEST_PRICE)
    low, over = -math.inf, _off(free, bits)
    high, under = math.inf, -math.inf
    price, step, last = 0.0, 1.0, 0.0
    for _ in range(PRICES_TRIED):
        found = _off(bits_at(math.exp(price)), bits)
        again = 0.5 if found * last > 0.0 else 1.0
        if found > 0.0:
            low, over, under = price, found, under * again
        else:
            high, under, over = price, found, over * again
            if found >= math.log(MET):
                break
        last = found
        if price == (highest if found > 0.0 else lowest):
            return math.exp(price)
        if math.isinf(low) or math.isinf(high):
            price = min(max(price + (step if found > 0.0 else -step), lowest), highest)
            step *= 2.0
        else:
            price = low + (high - low) * over / (over - under)
    return math.exp(high)


def _off(found: float, wanted: float) -> float:
    """Logarithm of the ratio of bits; of less than one bit there is no difference to speak of."""
    return math.log(max(found, 1.0) / max(wanted, 1.0))


def by_price(moves: Moves, *, fewer: bool) -> Callable[[float], Tensor]:
    """Points that trade distance for bits, or bits for distance.

    Parameters
    ----------
    fewer
        Whether bits are to be saved; else they are to be spent.

    Returns
    -------
    A function of a price, distance for a bit: the higher it is the fewer bits its point takes.
    From the point of ``moves`` it makes those that save bits for less than the price, or those
    that spend bits for more.
    """
    # Bits of the context foreseen by its gradient come true to a tenth; among moves that are chosen
    # for the bits that they save these would be most. Nor is the distance trusted to fall on the
    # way: all moves that promise both would be made at once, at any price, and do harm together.
    saved = -moves.own_bits if fewer else moves.own_bits
    lost = torch.maximum(moves.distance, moves.bend) if fewer else -moves.distance
    price = lost / saved.clamp_min(1e-9)
    allowed = saved > 0
    if fewer:
        best, way = price.masked_fill(~allowed, torch.inf).min(dim=0)
    else:
        best, way = price.masked_fill(~allowed, -torch.inf).max(dim=0)
    there = moves.symbols + (2.0 * way - 1.0)

    def point(limit: float) -> Tensor:
        return torch.where(best < limit if fewer else best > limit, there, moves.symbols)

    return point
