"""Rate of a picture: which rung, what a bit is worth, and landing on a number of bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from streamcodec.errors import InputError
from streamcodec.nn.prior import logistic_bits

LOWEST_BPP, HIGHEST_BPP = 0.01, 16.0
"""Rates that may be asked for, bits a pixel; the ladder's own rungs lie inside."""

SEARCH_SAVES = 0.9
"""What the search leaves of the bits of E alone at equal trade-off; a first guess, the control
finds the rest."""

PRICE_SLOPE = 2.0
"""Change of the logarithm of the price for one of the bits: about what neighbouring rungs show."""

CONTROL_GAIN = 0.5
"""Part of a deviation that one look of the control corrects; the search follows with delay."""


@dataclass(frozen=True)
class Forecast:
    """How bits in the midst of an annealing foretell the price that it ends right at.

    The logarithm of the price changes by ``slope * log(bits / wanted) + rest``.
    """

    slope: float
    rest: float = 0.0


FIRST_AFTER = 8
"""Steps of annealing behind which the price is set for the first time; a third of a short one's."""

FIRST = Forecast(slope=4.0)
LATER = {
    0.5: Forecast(slope=1.5),
    0.65: Forecast(slope=2.5, rest=0.007),
    0.8: Forecast(slope=3.3, rest=0.007),
    0.9: Forecast(slope=3.3, rest=0.006),
}
"""What the price is to become if the annealing is to end at the right bits; later forecasts by the
part of the steps that is done. At the right price bits are within half a percent of those of the
end from the eighth step on (means of a dozen held-out photographs), and a price that is too high by
a tenth shows as 2.4 percent too few there and as 2.9 at the end. A price that followed the bits as
they swing cost 0.08 dB."""

MAX_PRICE = 64.0
"""The price stays within 1/64 .. 64 of the rung's own: further away another rung is right."""

NEARLY = 0.9997
"""Part of the bits that a landing aims at, so that it need not be repeated."""


@dataclass(frozen=True)
class Setting:
    """Where on the ladder a picture is coded.

    Attributes
    ----------
    rung : int
    price : float
        Factor on the rung's trade-off: above 1 bits are dearer.
    """

    rung: int
    price: float = 1.0


def setting_of_quality(quality: float, trade_offs: Sequence[float]) -> Setting:
    """Place on the ladder of a quality 0..100, interpolated between rungs.

    Raises
    ------
    InputError
        The quality is out of range.
    """
    if not 0 <= quality <= 100:
        raise InputError(f"quality must be 0 to 100, not {quality!r}")
    place = quality / 100 * (len(trade_offs) - 1)
    rung = round(place)
    low = min(int(place), len(trade_offs) - 2) if len(trade_offs) > 1 else 0
    high = min(low + 1, len(trade_offs) - 1)
    ratio = math.log(trade_offs[high] / trade_offs[low])
    wanted = trade_offs[low] * math.exp((place - low) * ratio)
    return Setting(rung, wanted / trade_offs[rung])


def rungs_around(bits: float, rungs: int, estimate: Callable[[int], float]) -> tuple[int, int]:
    """The last rung at which E alone takes less than ``bits``, and the one above it.

    At the ends of the ladder both are the same.

    Parameters
    ----------
    rungs
        How many there are.
    estimate
        Bits of E alone at a rung, ascending; asked for as few rungs as will do.
    """
    below, above = -1, rungs
    while above - below > 1:
        middle = (below + above) // 2
        if estimate(middle) < bits:
            below = middle
        else:
            above = middle
    return max(below, 0), min(above, rungs - 1)


def setting_on(rung: int, bits: float, estimate: float) -> Setting:
    """The price that makes a search take about ``bits`` on a rung where E alone takes others."""
    price = (max(1.0, SEARCH_SAVES * estimate) / max(bits, 1.0)) ** PRICE_SLOPE
    return Setting(rung, min(max(price, 1 / MAX_PRICE), MAX_PRICE))


@lru_cache(maxsize=8)
def forecasts(steps: int) -> dict[int, Forecast]:
    """Those of an annealing of so many steps, by the number of steps behind which they are made."""
    first = min(FIRST_AFTER, steps // 3)
    later = {round(part * steps): forecast for part, forecast in LATER.items()}
    return {first: FIRST} | {step: forecast for step, forecast in later.items() if step > first}


class PriceControl:
    """Moves the price while a search runs, so that it ends near a number of bits.

    Parameters
    ----------
    price : float
        Where to start.
    bits : float, optional
        What to aim at; the price stays as it is if omitted.
    """

    def __init__(self, price: float, bits: float | None = None) -> None:
        self.price = price
        self._bits = bits

    @property
    def active(self) -> bool:
        """Whether it wants to hear anything."""
        return self._bits is not None

    def reserve(self, bits: float) -> None:
        """Take off what is spent beside the bits that it hears of."""
        if self._bits is not None:
            self._bits -= bits

    def heard(self, bits: float) -> None:
        """Take notice of the bits that the search is at."""
        if self._bits is not None:
            self._move(CONTROL_GAIN * PRICE_SLOPE * self._deviation(bits, self._bits))

    def foretell(self, bits: float, forecast: Forecast) -> None:
        """Set the price by what the latents of a search that is annealed cost rounded."""
        if self._bits is not None:
            self._move(forecast.slope * self._deviation(bits, self._bits) + forecast.rest)

    @staticmethod
    def _deviation(bits: float, wanted: float) -> float:
        return math.log(max(bits, 1.0) / max(wanted, 1.0))

    def _move(self, by: float) -> None:
        self.price = min(max(self.price * math.exp(by), 1 / MAX_PRICE), MAX_PRICE)


def settle(latents: Tensor, location: Tensor, log_scale: Tensor, slope: float) -> Tensor:
    """Put latents on the lattice, minding what each symbol costs.

    Each goes to that of the three nearest integers and the likeliest one which makes squared
    distance plus ``slope`` times bits least.

    Parameters
    ----------
    latents
        In lattice units, any shape.
    location, log_scale
        Of the distributions of its symbols, same shape.
    """
    nearest = latents.round()
    best, least = nearest, torch.full_like(latents, math.inf)
    for symbols in (nearest, nearest - 1.0, nearest + 1.0, location.round()):
        cost = (latents - symbols).square() + slope * logistic_bits(symbols - location, log_scale)
        best = torch.where(cost < least, symbols, best)
        least = torch.minimum(cost, least)
    return best
