"""What tests of the image model's training share: a tiny model, pictures, and how to train."""

from __future__ import annotations

from pathlib import Path

import torch
from streamcodec_models import image
from streamcodec_models.image_model import ImageConfig
from streamcodec_models.image_objectives import Objective

TINY = ImageConfig(
    latent_dim=8, patch_channels=16, channels=16, encoder_patch_blocks=1, encoder_blocks=1,
    generator_patch_blocks=1, generator_blocks=1, prior_hidden=16,
)  # fmt: skip
SIDE = 192


class Clock:
    """A second passes with every look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def minimize(objective: Objective, pixels: torch.Tensor, rate: torch.Tensor, *, steps: int) -> None:
    """Take steps of Adam on one batch."""
    parameters = [p for m in objective.trained.values() for p in m.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(pixels, rate, 0.5)["loss"].backward()
        optimizer.step()


def photographs(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth colours with edges, ``(count, 3, SIDE, SIDE)``."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 6, 6, generator=rng)
    smooth = torch.nn.functional.interpolate(small, SIDE, mode="bicubic").clamp(0, 1)
    return torch.where(smooth > 0.5, smooth, 0.7 * smooth)


def options(*more: str, run: Path = Path("nowhere")):
    return image.parser().parse_args(["--data", "x", "--run", str(run), *more])
