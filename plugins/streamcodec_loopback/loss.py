"""Simulated packet loss: each packet by itself, or in bursts.

Bursts follow E. N. Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal
39, 1960: a chain of two states, in one of which every packet is lost.
"""

from __future__ import annotations

import math

import numpy as np

import streamcodec

MAX_BURST = 100.0
"""Longest mean burst, packets: eight seconds of silence."""


class PacketLoss:
    """Say of each packet whether it is lost.

    Parameters
    ----------
    percent : float
        Share of packets lost in the long run, 0 to 100.
    burst : float, optional
        Mean length of a run of lost packets, at least 1; None loses each packet independently.
    seed : int
        The same seed loses the same packets.

    Raises
    ------
    InputError
        A value is out of range, or so much loss cannot come in bursts so short.
    """

    def __init__(self, percent: float = 0.0, burst: float | None = None, seed: int = 0) -> None:
        self._burst = burst
        self._random = np.random.default_rng(seed)
        self._lost = False
        self.percent = percent

    @property
    def percent(self) -> float:
        """Share of packets lost in the long run; may be changed at any time."""
        return self._percent

    @percent.setter
    def percent(self, percent: float) -> None:
        share, burst = percent / 100.0, self._burst
        if not (math.isfinite(percent) and 0.0 <= share <= 1.0):
            raise streamcodec.errors.InputError(
                f"expected a loss of 0 to 100 percent, found {percent:g}"
            )
        if burst is None:
            begin, stay = share, share
        elif not 1.0 <= burst <= MAX_BURST:
            raise streamcodec.errors.InputError(
                f"expected bursts of 1 to {MAX_BURST:g} packets on average, found {burst:g}"
            )
        elif share == 1.0:
            begin, stay = 1.0, 1.0
        else:
            # In the long run as many bursts begin as end: (1 - share) begin = share / burst.
            stay = 1.0 - 1.0 / burst
            begin = share / (burst * (1.0 - share))
        if begin > 1.0:
            shortest = share / (1.0 - share)
            raise streamcodec.errors.InputError(
                f"{percent:g} percent loss needs bursts of at least {shortest:.2g} packets on "
                f"average, found {burst:g}"
            )
        if share == 0.0:
            stay = 0.0  # switched off means off, also in the middle of a burst
        self._percent, self._begin, self._stay = percent, begin, stay

    def __call__(self) -> bool:
        """Whether the next packet is lost."""
        chance = self._stay if self._lost else self._begin
        # Numbers are drawn at 0 percent too: switching loss on does not depend on when.
        self._lost = bool(self._random.random() < chance)
        return self._lost
