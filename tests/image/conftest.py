"""What the tests of the image codec share: a tiny model and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamcodec.image.model import ImageModel, load_image_model
from tests.image.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> ImageModel:
    """The tiny model, on one thread."""
    torch.set_num_threads(1)
    return load_image_model(tiny_folder)


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """Something like a photograph, RGB, (150, 210, 3) uint8: gradients, edges and grain."""
    rng = np.random.default_rng(71)
    y, x = np.mgrid[:150, :210] / 150.0
    planes = []
    for colour in range(3):
        plane = 0.5 + 0.3 * np.sin(3 * x + colour) * np.cos(4 * y) + 0.25 * (x + y > 1.2)
        plane += 0.15 * ((x - 0.7) ** 2 + (y - 0.4) ** 2 < 0.05) - 0.2 * (np.sin(40 * x * y) > 0.9)
        planes.append(plane + 0.02 * rng.standard_normal(plane.shape))
    return np.round(255 * np.clip(np.stack(planes, axis=2), 0, 1)).astype(np.uint8)


def psnr(a: NDArray[np.generic], b: NDArray[np.generic], peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio, dB."""
    error = np.mean(np.square((a.astype(float) - b.astype(float)) / peak))
    return float(-10 * np.log10(error)) if error else 100.0
