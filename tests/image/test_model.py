"""Image models: found, checked, and told from speech models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from streamcodec import decode_image, encode_image
from streamcodec.core.model_file import FOR_DECODER, read_weights
from streamcodec.errors import ModelError, ModelNotFoundError
from streamcodec.image.model import ImageModel, encoder_file, load_image_model
from streamcodec.speech.model import model_folder as speech_folder
from tests.image.tiny_model import GAINS, LATENT_DIM, save_tiny_model


def test_a_model_is_loaded_once(tiny_folder: Path) -> None:
    tiny = load_image_model(tiny_folder)
    assert load_image_model(tiny_folder) is tiny
    assert load_image_model(str(tiny_folder)) is tiny
    assert load_image_model(tiny) is tiny
    assert tiny.gains.shape == (len(GAINS), LATENT_DIM)
    assert tiny.latent_dim == LATENT_DIM
    assert len(tiny.identity) == 8


def test_other_weights_are_another_model(tiny: ImageModel, tmp_path: Path) -> None:
    assert load_image_model(save_tiny_model(tmp_path / "other", seed=6)).identity != tiny.identity


def test_what_is_no_image_model_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no-such"):
        load_image_model("no-such-model")
    with pytest.raises(ModelNotFoundError, match=r"decoder\.safetensors"):
        load_image_model(tmp_path)
    with pytest.raises(ModelError, match="no image model"):
        load_image_model(speech_folder())
    broken = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    path = broken / "decoder.safetensors"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelError):
        load_image_model(broken)


def test_gains_that_do_not_fit_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    import json

    from safetensors.torch import save_file

    for number, (key, value) in enumerate(
        (
            ("distortion", "vmaf"),
            ("gains", 0.0),
            ("gains", float("nan")),
            ("rates", [1.0]),
            ("trade_offs", [1, 1, 1, 0]),
        )
    ):
        folder = Path(shutil.copytree(tiny_folder, tmp_path / str(number)))
        config, _ = read_weights(folder / "decoder.safetensors")
        tensors = load_file(folder / "decoder.safetensors")
        if key == "gains":
            tensors["gains"][1, 2] = value
        else:
            config[key] = value
        save_file(tensors, folder / "decoder.safetensors", metadata={"config": json.dumps(config)})
        with pytest.raises(ModelError, match=r"damaged|vmaf"):
            load_image_model(folder)


def test_an_encoder_of_its_own_for_a_distortion(
    tiny_folder: Path, tiny: ImageModel, photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "aimed"))
    state = {f"encoder.{n}": t.contiguous().clone() for n, t in tiny.encoder.state_dict().items()}
    state["encoder.output.bias"] += 0.2
    path = folder / encoder_file("ms-ssim")

    def write(**described: str) -> None:
        save_file(state, path, metadata={"config": json.dumps(described)})

    def encoded(model: ImageModel, distortion: str | None) -> bytes:
        return encode_image(photo, complexity=0, distortion=distortion, model=model)

    write(**{FOR_DECODER: tiny.identity.hex()})
    aimed = load_image_model(folder)
    assert aimed.identity == tiny.identity
    for distortion in (None, "mse", "luma"):
        assert encoded(aimed, distortion) == encoded(tiny, distortion)
    assert encoded(aimed, "ms-ssim") != encoded(tiny, "ms-ssim")
    brighter = decode_image(encoded(aimed, "ms-ssim"), model=tiny).mean()
    assert brighter > decode_image(encoded(tiny, "ms-ssim"), model=tiny).mean() + 10
    write(**{FOR_DECODER: "00" * 8})
    with pytest.raises(ModelError, match="belongs to the decoder 00"):
        encoded(aimed, "ms-ssim")
    del state["encoder.output.bias"]
    write(**{FOR_DECODER: tiny.identity.hex()})
    with pytest.raises(ModelError, match="no encoder of this model"):
        encoded(aimed, "ms-ssim")
