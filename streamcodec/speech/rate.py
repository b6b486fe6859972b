"""Rate ladder and rate control: which rung, and what a bit is worth just now."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streamcodec.errors import InputError

WINDOW_SECONDS = 0.5
"""The average is held over about this time."""

PRICE_SLOPE = 1.5
"""Change of the logarithm of the price over one window of debt."""

LOWEST_BITRATE, HIGHEST_BITRATE = 600, 16_000
"""Bit rates that may be asked for, bit/s. The ladder's own rungs lie inside."""


@dataclass(frozen=True)
class Allowance:
    """What the next packet may cost.

    Attributes
    ----------
    rung : int
        Index on the rate ladder.
    price : float
        Factor on the rung's trade-off: above 1 bits are dearer than the rung's own price.
    """

    rung: int
    price: float


class RateControl:
    """Leaky bucket: debt makes bits dearer, heavy debt lowers the rung.

    Speech needs few bits in pauses and many in onsets, so a packet is never cut to a size;
    what is overspent is won back within about half a second. The price is one where half a
    window of credit is left, so the bucket settles on the side of credit and a stream of any
    length ends at or under its rate.

    Parameters
    ----------
    bitrate : int
        Average payload aimed at, bit/s.
    rates : tuple of int
        Nominal rates of the rungs, ascending.

    Raises
    ------
    InputError
        If ``bitrate`` is out of range.
    """

    def __init__(self, bitrate: int, rates: tuple[int, ...]) -> None:
        if not LOWEST_BITRATE <= bitrate <= HIGHEST_BITRATE:
            raise InputError(
                f"bitrate must lie between {LOWEST_BITRATE} and {HIGHEST_BITRATE} bit/s, "
                f"not {bitrate}; the ladder's rungs are {', '.join(map(str, rates))}"
            )
        self.bitrate = bitrate
        # The rung nearest in ratio; the price moves the rate to what was asked for.
        self.rung = min(range(len(rates)), key=lambda r: abs(math.log(rates[r] / bitrate)))
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._debt = 0.0

    def next(self) -> Allowance:
        """Allowance of the packet to come."""
        filled = self._debt / (self.bitrate * WINDOW_SECONDS)
        # Above half a window of debt a lower rung helps even where nothing is searched.
        lower = int(filled > 0.5) + int(filled > 1.0)
        return Allowance(max(0, self.rung - lower), math.exp(PRICE_SLOPE * (filled + 0.5)))

    def spend(self, bits: int, seconds: float) -> None:
        """Book a packet of ``bits`` that lasts ``seconds``."""
        self._debt += bits - self.bitrate * seconds
        # Credit from a pause is spent on the next onset, but does not pile up.
        self._debt = max(self._debt, -self.bitrate * WINDOW_SECONDS)
