"""Rate ladder and rate control: which rung, and what a bit is worth just now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from streamcodec.errors import InputError

WINDOW_SECONDS = 0.5
"""The average is held over about this time."""

PRICE_SLOPE = 1.2
"""Change of the logarithm of the price over one window of debt."""

INTEGRAL_SECONDS = 2.0
"""Time in which lasting debt changes the logarithm of the price as much again as it does at once.
Slope and time were set so that 4-second clips of held-out training speakers, whose appetite at
price one is 0.9 to 1.2 times the nominal rate, end within some 3 % under it, with the price
moving no more than under proportional control alone (0.4 in its logarithm)."""

START_LOG_PRICE = 0.3
"""Logarithm of the price at which speech asks for about the nominal rate of its rung."""

RESERVE_SECONDS = 0.09
"""Set aside at the start of a stream for what its end costs beyond its sound: the last packet is
half padding on average, and the last overlap has to be sent as well."""

LOWER_LOG_PRICES = (1.1, 1.8)
"""Logarithms of the price above which the next and the second-next lower rung are taken: rungs'
own trade-offs are a factor of about three apart."""

LOG_PRICE_LIMITS = (-1.5, 2.0)
"""Where the integral stops; a longer run of one kind of sound shall not dictate to the next."""

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


class BitControl(Protocol):
    """Hands out bits, packet by packet."""

    def reset(self) -> None:
        """Begin a new stream."""

    def next(self) -> Allowance:
        """Allowance of the packet to come."""

    def spend(self, bits: int, seconds: float) -> None:
        """Book a packet of ``bits`` that lasts ``seconds``."""


class FixedPrice:
    """One rung and one price for ever: constant quality, at whatever rate the signal asks for.

    Parameters
    ----------
    rung : int
        Index on the rate ladder.
    price : float
        Factor on the rung's trade-off.
    """

    def __init__(self, rung: int, price: float = 1.0) -> None:
        self._allowance = Allowance(rung, price)

    def reset(self) -> None:
        """Nothing to forget."""

    def next(self) -> Allowance:
        """The same for every packet."""
        return self._allowance

    def spend(self, bits: int, seconds: float) -> None:
        """Nothing to book."""


class RateControl:
    """Leaky bucket: debt makes bits dearer, and a high price lowers the rung.

    Speech needs few bits in pauses and many in onsets, so a packet is never cut to a size; what
    is overspent is won back within about half a second. The price answers to the debt and to its
    integral (proportional-integral control), so the debt settles at zero whatever the speaker's
    appetite, and streams of any length end near their rate.

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
        self._window = bitrate * WINDOW_SECONDS
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._debt = self.bitrate * RESERVE_SECONDS
        self._integral = START_LOG_PRICE

    def next(self) -> Allowance:
        """Allowance of the packet to come."""
        log_price = self._pull() + self._integral
        # A dear price saves nothing where nothing is searched; a lower rung does.
        lower = sum(log_price > threshold for threshold in LOWER_LOG_PRICES)
        return Allowance(max(0, self.rung - lower), math.exp(log_price))

    def spend(self, bits: int, seconds: float) -> None:
        """Book a packet of ``bits`` that lasts ``seconds``."""
        self._debt += bits - self.bitrate * seconds
        if self._debt < -self._window:
            # Credit from a pause is spent on the next onset, but does not pile up, nor does a
            # pause teach anything about the speaker.
            self._debt = -self._window
            return
        low, high = LOG_PRICE_LIMITS
        self._integral += self._pull() * seconds / INTEGRAL_SECONDS
        self._integral = min(max(self._integral, low), high)

    def _pull(self) -> float:
        """What the debt adds to the logarithm of the price at once."""
        return PRICE_SLOPE * self._debt / self._window
