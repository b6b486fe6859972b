"""A rate chooses the rung that suits it: of a search, or of E's guess as it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamcodec.image import plan
from streamcodec.image.model import ImageModel
from streamcodec.image.picture import ArrayPicture
from streamcodec.image.plan import FOR_SEARCH, RatePlan
from streamcodec.image.scene import Scene


@pytest.fixture
def scene(photo: NDArray[np.uint8], tiny: ImageModel) -> Scene:
    return Scene(ArrayPicture(photo), tiny, 16)


def taken(scene: Scene, model: ImageModel) -> list[float]:
    return [
        sum(plan._estimate(scene, model, window, rung) for window in scene.windows)
        for rung in range(len(model.rates))
    ]


def test_a_search_has_bits_to_spare(scene: Scene, tiny: ImageModel) -> None:
    bits = taken(scene, tiny)
    assert bits == sorted(bits)
    for rung, takes in enumerate(bits):
        assert RatePlan(takes / FOR_SEARCH, scene, tiny, searched=True).setting.rung == rung
        # A little off it is still the nearest.
        assert RatePlan(takes / FOR_SEARCH / 0.97, scene, tiny, searched=True).setting.rung == rung
    for bits_left in (-10.0, 0.0):
        assert RatePlan(bits_left, scene, tiny, searched=True).setting.rung == 0
    assert RatePlan(1e9, scene, tiny, searched=True).setting.rung == len(bits) - 1


def test_a_guess_has_no_bits_to_add(scene: Scene, tiny: ImageModel) -> None:
    bits = taken(scene, tiny)
    for rung, takes in enumerate(bits):
        assert RatePlan(takes - 1, scene, tiny, searched=False).setting.rung == rung
    assert RatePlan(bits[1] + 1, scene, tiny, searched=False).setting.rung == 2


def test_a_long_ladder_is_not_walked_step_by_step(
    scene: Scene, tiny: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def estimate(_scene: object, model: object, window: object, rung: int) -> float:
        asked.append(rung)
        return 1.13**rung

    class Long:
        rates = (0.0,) * 100

    monkeypatch.setattr(plan, "_estimate", estimate)
    windows = len(scene.windows)
    found = RatePlan(windows * 1.13**61 / FOR_SEARCH, scene, Long, searched=True)
    assert found.setting.rung == 61
    assert len(asked) <= 9 * windows
