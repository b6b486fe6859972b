"""Models whose way from symbols back to latents has steps and offsets of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamcodec import decode_image, encode_image
from streamcodec.image.decoder import ImageDecoder
from streamcodec.image.model import ImageModel, load_image_model
from streamcodec.image.picture import ArrayPicture
from streamcodec.image.scene import Scene
from streamcodec.image.tiles import Box
from tests.image.conftest import psnr
from tests.image.tiny_model import save_tiny_model

RUNG = 1


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "shifted"
    return load_image_model(save_tiny_model(folder, way_back=True))


def test_without_them_latents_are_symbols_over_gains(tiny: ImageModel) -> None:
    symbols = torch.randint(-9, 9, (3, 4, tiny.latent_dim)).float()
    for rung, gains in enumerate(tiny.gains):
        torch.testing.assert_close(tiny.from_lattice(symbols, rung), symbols / gains)


def test_steps_and_offsets_are_those_of_the_file(shifted: ImageModel) -> None:
    symbols = torch.zeros(2, 3, shifted.latent_dim)
    symbols[0, 1] = 2.0
    latents = shifted.from_lattice(symbols, RUNG)
    torch.testing.assert_close(latents[1, 1], shifted.offsets[RUNG] * shifted.steps[RUNG])
    torch.testing.assert_close(latents[0, 1] - latents[1, 1], 2.0 * shifted.steps[RUNG])
    assert not torch.allclose(shifted.steps * shifted.gains, torch.ones(()))


def test_the_search_sees_what_the_decoder_draws(
    shifted: ImageModel, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamcodec.image import encoder as module

    seen: list[torch.Tensor] = []
    search = module.search_window

    def watched(problem, guess, *rest):
        found = search(problem, guess, *rest)
        seen.append(problem.pictures(found.moves.symbols[None])[0].detach())
        return found

    monkeypatch.setattr(module, "search_window", watched)
    encoded = encode_image(photo[:128, :192], quality=60, complexity=1, model=shifted)
    drawn = decode_image(encoded, model=shifted)
    assert len(seen) == 1
    difference = seen[0].permute(1, 2, 0).numpy() * 255.0 - drawn
    # Half a level of rounding, and what the search computes in bfloat16 for.
    assert np.abs(difference).mean() < 1.0
    assert np.abs(difference).mean() < 0.2 * np.abs(drawn.astype(float) - photo[:128, :192]).mean()


def test_pictures_and_regions_come_back(shifted: ImageModel, photo: NDArray[np.uint8]) -> None:
    encoded = encode_image(photo, quality=90, complexity=1, tile=48, model=shifted)
    whole = decode_image(encoded, model=shifted)
    assert psnr(whole, photo) > 15
    part = decode_image(encoded, (30, 20, 131, 99), model=shifted)
    assert np.abs(part.astype(int) - whole[20:99, 30:131]).max() <= 1


def test_margins_hold_latents_and_no_window_is_counted_twice(
    shifted: ImageModel, photo: NDArray[np.uint8]
) -> None:
    """What a decoder has around a window, and nothing inside it: that comes with its symbols."""
    scene = Scene(ArrayPicture(photo), shifted, 4)
    place = scene.surroundings(scene.windows[0], RUNG)
    assert not place.fixed[place.inner.slices].any()
    data = encode_image(photo, quality=60, complexity=0, tile=64, model=shifted)
    decoder = ImageDecoder(data, model=shifted)
    box = Box(0, scene.grid.bounds.y1, 0, scene.grid.bounds.x1)
    latents = decoder.tiles.latents(box)
    (rung,) = {item.rung for item, _ in decoder.file.tiles.values()}
    symbols = latents / shifted.steps[rung] - shifted.offsets[rung]
    torch.testing.assert_close(symbols, symbols.round(), atol=1e-3, rtol=0.0)
    assert symbols.round().any()


@pytest.mark.parametrize(("name", "value"), [("steps", 0.0), ("offsets", float("nan"))])
def test_a_damaged_way_back_is_refused(name: str, value: float, tmp_path: Path) -> None:
    from streamcodec.errors import ModelError

    folder = save_tiny_model(tmp_path / "broken", way_back=True, **{name: value})
    with pytest.raises(ModelError, match="damaged"):
        load_image_model(folder)
