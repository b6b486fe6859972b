"""Rate of a picture, window by window: its rung, and what each of its windows may cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from streamcodec.image.landing import GuessPoints, LatticePoints, SearchedPoints
from streamcodec.image.model import ImageModel
from streamcodec.image.problem import WindowProblem
from streamcodec.image.rate import PriceControl, Setting, rungs_around, setting_on
from streamcodec.image.scene import Scene
from streamcodec.image.search import unsearched
from streamcodec.image.windows import Surroundings, Window

RUNG_WINDOWS = 4
"""Windows of a picture that are looked at to choose its rung, at most."""

Problems = Callable[[Surroundings, int, PriceControl], WindowProblem]
"""The problem of a window on a rung."""


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

    def __init__(
        self, bits: float, scene: Scene, model: ImageModel, problems: Problems, *, searched: bool
    ) -> None:
        self._left = bits
        estimates = np.array([_estimates(scene, model, w) for w in scene.windows])
        totals = estimates.sum(axis=0).tolist()
        # Putting E's guess on the lattice can only spare bits; without a search the rung above is
        # the one that meets them.
        rungs = rungs_around(bits, totals)
        rung = rungs[0]
        if searched and len(rungs) > 1:
            parts = [max(0.0, bits) / totals[r] for r in rungs]
            errors = [
                model.trade_offs[r] * _distance(scene, problems, r, part)
                for r, part in zip(rungs, parts, strict=True)
            ]
            rung = rungs[int(np.argmin(errors))]
        super().__init__(setting_on(rung, bits, totals))
        # What E alone spends, at equal gains, goes where an equal price would let it go.
        self._share = np.maximum(estimates[:, rung], 1.0).tolist()

    def allowed(self, number: int) -> float:
        """Bits of window ``number``: its share of what is left."""
        part = self._share[number] / sum(self._share[number:])
        return max(0.0, self._left * part)

    def spent(self, bits: float, price: float) -> None:
        """A window took so many bits, and came to this price."""
        super().spent(bits, price)
        self._left -= bits


@torch.no_grad()
def _estimates(scene: Scene, model: ImageModel, window: Window) -> list[float]:
    """Bits of E alone for a window, at each rung."""
    guess = scene.guess(window.box)
    bits = []
    for rung, gain in enumerate(model.gains):
        rate = torch.tensor([rung])
        total = 0.0
        for tile in window.tiles:
            z = (guess[scene.grid[tile].within(window.box).slices] * gain).round()[None]
            total += float(model.search_prior.tile_bits(z, z, rate).sum())
        bits.append(total)
    return bits


def _distance(scene: Scene, problems: Problems, rung: int, part: float) -> float:
    """How far off E's guess is on a rung, brought to ``part`` of its bits there.

    Whether bits are better spared on a finer rung or spent on a coarser one depends on the
    picture, and a wrong choice costs up to two decibels. So both are tried before the search,
    on a few windows.
    """
    step = -(-len(scene.windows) // RUNG_WINDOWS)
    distance = 0.0
    for window in scene.windows[step // 2 :: step]:
        place = scene.surroundings(window, rung)
        problem = problems(place, rung, PriceControl(1.0))
        points: LatticePoints = GuessPoints(problem, place.guess)
        bits = part * problem.lattice_bits(points.found)
        if part > 1.0:
            points = SearchedPoints(problem, unsearched(problem, points.found))
        symbols, _ = points.with_bits(bits)
        distance += problem.lattice_distance(symbols)
    return distance
