"""Rate of a picture, window by window: its rung, and what each of its windows may cost."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from streamcodec.image.model import ImageModel
from streamcodec.image.rate import Setting, rungs_around, setting_on
from streamcodec.image.scene import Scene
from streamcodec.image.windows import Window

FOR_SEARCH = 1.08
"""Bits that E alone takes on the rung that suits a search best, against those that there are: a
search spares bits at little loss. On held-out photographs a rung at which E alone takes a fifth
more or less than on the best one costs 0.05 to 0.3 dB."""


class Plan:
    """What windows may cost: as much as they like at one setting.

    Attributes
    ----------
    setting : Setting
        For the next window.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def allowed(self, number: int) -> float | None:
        """Bits of window ``number``; None where they are not limited."""
        return None

    def spent(self, bits: float, price: float) -> None:
        """A window took so many bits, and came to this price."""
        # The next window begins with the price that this one came to.
        self.setting = Setting(self.setting.rung, price)


class RatePlan(Plan):
    """Windows that share so many bits.

    Parameters
    ----------
    bits
        Of the windows together.
    searched
        Whether they will be searched.
    """

    def __init__(self, bits: float, scene: Scene, model: ImageModel, *, searched: bool) -> None:
        self._left = bits

        @lru_cache
        def shares(rung: int) -> list[float]:
            return [_estimate(scene, model, window, rung) for window in scene.windows]

        def taken(rung: int) -> float:
            return max(1.0, sum(shares(rung)))

        wanted = max(1.0, bits) * (FOR_SEARCH if searched else 1.0)
        rungs = rungs_around(wanted, len(model.rates), taken)
        # Putting E's guess on the lattice can only spare bits; without a search the rung above is
        # the one that meets them.
        rung = min(rungs, key=lambda r: abs(math.log(taken(r) / wanted))) if searched else rungs[1]
        super().__init__(setting_on(rung, bits, taken(rung)))
        # What E alone spends, at equal gains, goes where an equal price would let it go.
        self._share = [max(1.0, share) for share in shares(rung)]

    def allowed(self, number: int) -> float:
        """Bits of window ``number``: its share of what is left."""
        part = self._share[number] / sum(self._share[number:])
        return max(0.0, self._left * part)

    def spent(self, bits: float, price: float) -> None:
        """A window took so many bits, and came to this price."""
        super().spent(bits, price)
        self._left -= bits


@torch.no_grad()
def _estimate(scene: Scene, model: ImageModel, window: Window, rung: int) -> float:
    """Bits of E alone for a window on a rung."""
    guess, rate = scene.guess(window.box) * model.gains[rung], torch.tensor([rung])
    bits = 0.0
    for tile in window.tiles:
        z = guess[scene.grid[tile].within(window.box).slices].round()[None]
        with model.search_precision():
            bits += float(model.search_prior.tile_bits(z, z, rate).sum())
    return bits
