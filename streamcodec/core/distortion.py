"""Distortions: what the search calls close. Any callable of this shape can take their place.

A distortion belongs to the encoder alone: another one changes neither bitstream nor decoder
(the method calls it the task-specific loss).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Distortion = Callable[[Tensor, Tensor], Tensor]
"""``distortion(pictures, target)``: pictures ``(n, ...)``, target ``(1, ...)``, result ``(n,)``."""


def audible_l1(pictures: Tensor, target: Tensor) -> Tensor:
    """L1 between normalized log-mels ``(n, frames, bands)``; loud bands count up to three times.

    The loss that E and G are trained with. Weighting by level keeps the search from spending
    bits on noise floors that nobody hears.
    """
    weight = 0.5 + torch.sigmoid(2.0 * target)
    return (weight * (pictures - target).abs()).mean(dim=(1, 2))


def squared_error(pictures: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of any picture."""
    return (pictures - target).square().flatten(1).mean(dim=1)
