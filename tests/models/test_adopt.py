"""A run that begins with a finished model holds that model, and trains on."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from streamcodec_models import adopt as module
from streamcodec_models.adopt import adopt
from streamcodec_models.export import export
from streamcodec_models.image_model import PEAK
from streamcodec_models.image_model import load_config as load_image_config
from streamcodec_models.image_model import load_model as load_image_model
from streamcodec_models.speech_model import load_config, load_model
from streamcodec_models.speech_task import inherited

from streamcodec.core.model_file import read_weights

WEIGHTS = Path(module.__file__).parent / "weights"
SPEECH = next(WEIGHTS.glob("speech-*"))
IMAGE = next(WEIGHTS.glob("image-*"))


def test_speech_there_and_back_is_the_same_decoder(tmp_path: Path) -> None:
    adopt(SPEECH, tmp_path / "run")
    # Where training began from there and nothing was trained, the files are those it began with.
    export(tmp_path / "run", tmp_path / SPEECH.name)
    config, tensors = read_weights(SPEECH / "decoder.safetensors")
    back_config, back = read_weights(tmp_path / SPEECH.name / "decoder.safetensors")
    assert {k for k in back if "integer_prior" not in k} >= {
        k for k in tensors if "integer_prior" not in k
    }
    for name, tensor in tensors.items():
        if "integer_prior" not in name:  # made anew, from a prior that went through half precision
            torch.testing.assert_close(back[name], tensor, rtol=1e-5, atol=0.0)
    assert back_config["trade_offs"] == pytest.approx(config["trade_offs"])
    assert back_config["rates"] == config["rates"]


def test_multipliers_of_the_rate_are_inherited(tmp_path: Path) -> None:
    adopt(SPEECH, tmp_path / "run")
    trade_offs = read_weights(SPEECH / "decoder.safetensors")[0]["trade_offs"]
    targets = load_config(tmp_path / "run").targets
    found = torch.tensor(inherited(tmp_path / "run")["log_lambda"]).exp() / torch.tensor(targets)
    torch.testing.assert_close(found, torch.tensor(trade_offs))
    assert load_model(tmp_path / "run", load_config(tmp_path / "run"))


def test_an_image_run_knows_its_trade_offs(tmp_path: Path) -> None:
    adopt(IMAGE, tmp_path / "run")
    config = load_image_config(tmp_path / "run")
    described, tensors = read_weights(IMAGE / "decoder.safetensors")
    found = [1.0 / (lam * PEAK**2) for lam in config.lambdas]
    assert found == pytest.approx(described["trade_offs"])
    assert {k: described[k] for k in asdict(config) if k in ("channels", "latent_dim")} == {
        "channels": config.channels,
        "latent_dim": config.latent_dim,
    }
    model = load_image_model(tmp_path / "run", config)
    torch.testing.assert_close(model.log_gain.exp(), tensors["gains"])
    weight = tensors["generator.output.weight"].float()
    assert torch.equal(model.generator.output.weight, weight)


def test_nothing_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").write_bytes(b"mine")
    monkeypatch.setattr(sys, "argv", ["adopt", str(SPEECH), str(tmp_path / "run")])
    with pytest.raises(SystemExit, match="holds a model already"):
        module.main()
    assert (tmp_path / "run" / "model.pt").read_bytes() == b"mine"


def test_a_folder_without_a_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["adopt", str(tmp_path), str(tmp_path / "run")])
    with pytest.raises(SystemExit, match=r"no decoder\.safetensors"):
        module.main()
    assert not (tmp_path / "run").exists()
