"""Model files: found, checked, and told apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from streamcodec.errors import ModelError, ModelNotFoundError
from streamcodec.speech.model import load_speech_model, model_folder


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder(), tmp_path / "model"))


def test_the_default_model_is_complete() -> None:
    model = load_speech_model()
    assert model.rates == (1000, 1600, 2000, 3200, 6000)
    assert model.gains.shape == (5, model.latent_dim)
    assert len(model.identity) == 8
    assert load_speech_model() is model
    for path in model_folder().glob("*.safetensors"):
        assert path.stat().st_size <= 16_000_000


def test_a_missing_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        load_speech_model("no-such-model")
    with pytest.raises(ModelNotFoundError, match=r"decoder\.safetensors"):
        load_speech_model(tmp_path)


def test_truncated_weights_are_a_model_error(copied: Path) -> None:
    path = copied / "vocoder.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="vocoder"):
        load_speech_model(copied)


def test_weights_that_do_not_fit_are_a_model_error(copied: Path) -> None:
    path = copied / "encoder.safetensors"
    tensors = load_file(path)
    tensors["encoder.output.bias"] = torch.zeros(3)
    save_file(tensors, path, metadata={"config": "{}"})
    with pytest.raises(ModelError, match="damaged"):
        load_speech_model(copied)


def test_identity_follows_the_decoder_and_only_the_decoder(copied: Path) -> None:
    original = load_speech_model().identity
    for name, changes in (("vocoder", False), ("encoder", False), ("decoder", True)):
        path = copied / f"{name}.safetensors"
        tensors = load_file(path)
        config = _config(path)
        first = next(k for k, v in sorted(tensors.items()) if v.is_floating_point())
        tensors[first] = tensors[first] + 0.5
        save_file(tensors, path, metadata={"config": config})
        target = copied.parent / f"after-{name}"
        shutil.copytree(copied, target)
        assert (load_speech_model(target).identity != original) == changes


def _config(path: Path) -> str:
    header = path.read_bytes()
    length = int.from_bytes(header[:8], "little")
    return str(json.loads(header[8 : 8 + length])["__metadata__"]["config"])
