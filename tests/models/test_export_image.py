"""The files of an image model: what they say, and that 8 bits code the same pictures."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from streamcodec_models.adopt import adopt
from streamcodec_models.export_image import export, export_encoder, export_realism
from streamcodec_models.image_model import ImageConfig, ImageModel

from streamcodec import decode_image, encode_image
from streamcodec.core.model_file import read_weights
from streamcodec.image.model import load_image_model

TINY = ImageConfig(
    latent_dim=8, patch_channels=16, channels=16, encoder_patch_blocks=1, encoder_blocks=1,
    generator_patch_blocks=1, generator_blocks=1, prior_hidden=16, distortion="ms-ssim",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(asdict(TINY)))
    torch.save(ImageModel(TINY).state_dict(), folder / "model.pt")
    return folder


@pytest.mark.parametrize("halves", [False, True])
def test_a_model_is_written_and_works(halves: bool, run: Path, tmp_path: Path) -> None:
    sizes = export(run, tmp_path / "model", torch.rand(1, 3, 64, 64), halves=halves)
    assert sizes.keys() == {"decoder.safetensors", "encoder.safetensors"}
    _, stored = read_weights(tmp_path / "model" / "decoder.safetensors")
    kind = torch.float16 if halves else torch.int8
    assert stored.stored["generator.up.weight"].dtype == kind
    assert stored.stored["generator.output.weight"].dtype == torch.float16
    model = load_image_model(tmp_path / "model")
    assert model.distortion == "ms-ssim"
    state = torch.load(run / "model.pt", weights_only=True)
    for name, value in model.generator.state_dict().items():
        wanted = state[f"generator.{name}"]
        assert torch.allclose(value, wanted, atol=0.01 * float(wanted.abs().max()) + 1e-6)
    pixels = np.full((40, 40, 3), 90, np.uint8)
    assert decode_image(encode_image(pixels, model=model), model=model).shape == pixels.shape


def test_a_run_goes_on_from_8_bits(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "model", torch.rand(1, 3, 64, 64))
    adopt(tmp_path / "model", tmp_path / "again")
    _, restored = read_weights(tmp_path / "model" / "decoder.safetensors")
    state = torch.load(tmp_path / "again" / "model.pt", weights_only=True)
    assert torch.equal(state["generator.up.weight"], restored["generator.up.weight"])
    stored = json.loads((tmp_path / "again" / "config.json").read_text())
    assert stored["distortion"] == replace(TINY).distortion


def test_other_drawing_layers_join_the_model_that_they_began_from(
    run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export(run, folder, torch.rand(1, 3, 64, 64))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    adopt(folder, tmp_path / "lively")
    path = tmp_path / "lively" / "model.pt"
    state = torch.load(path, weights_only=True)
    state["generator.up.weight"] += 0.25
    torch.save(state, path)
    assert export_realism(tmp_path / "lively", folder).keys() == {"realism.safetensors"}
    assert all((folder / name).read_bytes() == data for name, data in before.items())
    model = load_image_model(folder)
    moved = model.drawn_with(1.0).generator.up.weight - model.generator.up.weight
    assert torch.allclose(moved, torch.full_like(moved, 0.25), atol=0.02)
    state["generator.blocks.0.mix.weight"] += 0.25
    torch.save(state, path)
    with pytest.raises(ValueError, match="did not begin from"):
        export_realism(tmp_path / "lively", folder)


def test_an_encoder_joins_the_model_whose_generator_it_guesses_for(
    run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export(run, folder, torch.rand(1, 3, 64, 64))
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.json", "model.pt"):
        shutil.copy(run / name, other / name)
    state = torch.load(other / "model.pt", weights_only=True)
    state["encoder.output.bias"] += 0.25
    torch.save(state, other / "model.pt")
    assert export_encoder(other, folder, "ms-ssim").keys() == {"encoder-ms-ssim.safetensors"}
    model = load_image_model(folder)
    moved = model.guessing_for("ms-ssim").encoder.output.bias - model.encoder.output.bias
    assert torch.allclose(moved, torch.full_like(moved, 0.25), atol=0.02)
    assert model.guessing_for("luma") is model
    state["generator.blocks.0.mix.weight"] += 0.25
    torch.save(state, other / "model.pt")
    with pytest.raises(ValueError, match="did not begin from"):
        export_encoder(other, folder, "ms-ssim")
