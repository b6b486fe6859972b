"""Models with shortcuts around the layers between pixels and latents."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamcodec import decode_image, encode_image
from streamcodec.image.model import ImageModel, load_image_model
from streamcodec.nn.image import STRIDE, ImageEncoder, ImageGenerator
from tests.image.conftest import psnr
from tests.image.tiny_model import SIZES, save_tiny_model


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "direct"
    return load_image_model(save_tiny_model(folder, shortcut=True))


def test_shortcuts_are_linear_and_see_no_neighbours() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(**SIZES, patch_blocks=1, blocks=1, shortcut=True)
    generator = ImageGenerator(**SIZES, patch_blocks=1, blocks=1, shortcut=True)
    assert encoder.shortcut is not None
    assert generator.shortcut is not None
    with torch.no_grad():
        for layer in (encoder.output, generator.output):
            layer.weight.zero_()
            layer.bias.zero_()
        pixels = torch.rand(1, 3, 3 * STRIDE, 2 * STRIDE)
        latents = encoder(pixels)
        torch.testing.assert_close(encoder(1.0 - pixels), -latents)
        drawn = generator(latents)
        latents[0, 1, 1] += 1.0
        changed = (generator(latents) - drawn)[0].abs().sum(0)
    inside = changed[STRIDE : 2 * STRIDE, STRIDE:]
    assert inside.min() > 0
    assert changed.sum() == pytest.approx(float(inside.sum()))


def test_pictures_and_regions_come_back(direct: ImageModel, photo: NDArray[np.uint8]) -> None:
    encoded = encode_image(photo, quality=90, complexity=1, tile=48, model=direct)
    whole = decode_image(encoded, model=direct)
    plain = decode_image(
        encode_image(photo, quality=90, complexity=0, tile=48, model=direct), model=direct
    )
    assert psnr(whole, photo) > 18
    assert psnr(whole, photo) > psnr(plain, photo) - 0.1
    part = decode_image(encoded, (30, 20, 131, 99), model=direct)
    assert np.abs(part.astype(int) - whole[20:99, 30:131]).max() <= 1
