"""Likeness in a network's features, as a loss of image training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from streamcodec_models import likeness as module
from streamcodec_models.image_adversary import PictureAdversary
from streamcodec_models.image_model import ImageModel
from streamcodec_models.image_objectives import Perceptual
from streamcodec_models.likeness import Likeness, classifier_likeness
from torch import Tensor, nn
from torch.nn import functional as F

from tests.models.image_runs import TINY, minimize, options, photographs


def small_likeness() -> Likeness:
    """Two layers at half and a quarter of the resolution, of which both count."""
    torch.manual_seed(3)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU6())
    return Likeness(stem, [nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 12, 3, stride=2)], (0, 1))


def blurred(pixels: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(F.pad(pixels, (side // 2,) * 4, mode="reflect"), side, 1)


def test_what_is_alike_has_no_distance_and_blur_has_more_the_wider() -> None:
    distance, pixels = small_likeness(), photographs(2)
    assert float(distance(pixels, pixels)) == 0.0
    near, far = (float(distance(blurred(pixels, side), pixels)) for side in (3, 9))
    assert 0.0 < near < far


def test_only_the_decoded_picture_is_pulled() -> None:
    distance, pixels = small_likeness(), photographs(2)
    decoded, original = blurred(pixels, 5).requires_grad_(), pixels.clone().requires_grad_()
    distance(decoded, original).backward()
    assert decoded.grad is not None
    assert float(decoded.grad.abs().sum()) > 0
    assert original.grad is None
    assert all(p.grad is None for p in distance.parameters())


def test_blocks_behind_the_last_compared_are_left_out() -> None:
    blocks = [nn.Conv2d(3, 3, 1) for _ in range(4)]
    assert len(Likeness(nn.Identity(), blocks, (1,)).blocks) == 2


def test_training_against_it_makes_pictures_more_alike(tmp_path: Path) -> None:
    pixels, rate = photographs(2), torch.tensor([1, 2])
    reached = {}
    for pull in (0.0, 4.0):
        torch.manual_seed(0)
        model, args = ImageModel(TINY), options("--loss", "perceptual", run=tmp_path)
        args.likeness, args.adversary_from = pull, 2.0
        adversary = PictureAdversary(
            tmp_path / "none.pt", TINY.latent_dim, 1e-4, torch.device("cpu")
        )
        distance = small_likeness()
        objective = Perceptual(model, torch.tensor(TINY.lambdas), adversary, distance, args)
        minimize(objective, pixels, rate, steps=40)
        with torch.no_grad():
            reached[pull] = float(distance(model(pixels, rate)[0].clamp(0, 1), pixels))
    assert reached[4.0] < 0.95 * reached[0.0]


def test_a_missing_classifier_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHTS_MODULE", "no_such_weights")
    monkeypatch.setattr(module, "NETWORK_MODULE", "no_such_network")
    with pytest.raises(ModuleNotFoundError, match=r"no_such_network.*streamcodec\[perceptual\]"):
        classifier_likeness()
