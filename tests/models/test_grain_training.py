"""Grain is learned beside a finished run, and goes where its drawing layers go."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamcodec_models import stage
from streamcodec_models.adopt import adopt
from streamcodec_models.export_image import export, export_realism
from streamcodec_models.grain import GRAIN_FILE, held_out_surprise, parser, train
from streamcodec_models.image_model import ImageModel, load_config, load_model
from streamcodec_models.plot import read_curve

from streamcodec.image.model import load_image_model
from streamcodec.nn.grain import Grain
from tests.models.image_runs import SIDE, TINY, Clock, photographs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose decoder is that of an untrained model: all is lacking."""
    folder = tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(ImageModel(TINY).state_dict(), folder / "model.pt")
    (folder / "config.json").write_text(json.dumps(asdict(TINY)))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = ["file,split"]
    rng = torch.Generator().manual_seed(1)
    for number, pixels in enumerate(photographs(3)):
        # Held-out crops are larger than those that are trained on.
        pixels = pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)
        noisy = (pixels + 0.05 * torch.randn(pixels.shape, generator=rng)).clamp(0, 1)
        samples = np.asarray((noisy.permute(1, 2, 0) * 255).to(torch.uint8))
        Image.fromarray(samples).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'val' if number == 2 else 'train'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_it_foresees_what_is_lacking(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "time", Clock())
    before = (run / "model.pt").read_bytes()
    words = [str(run), "--data", str(data), "--minutes", "6", "--side", "96", "--batch", "2"]
    train(parser().parse_args(words))
    found = read_curve(run / "held-out-grain.tsv")["surprise"]
    model = load_model(run, load_config(run)).eval()
    pixels = photographs(2, seed=5)[:, :, : SIDE // 2, : SIDE // 2]
    trained, fresh = Grain(TINY.channels), Grain(TINY.channels)
    trained.load_state_dict(torch.load(run / GRAIN_FILE, weights_only=True))
    assert np.isfinite(found).all()
    assert held_out_surprise(model, trained, pixels) < held_out_surprise(model, fresh, pixels) - 0.1
    # Files of before stay what they are.
    assert (run / "model.pt").read_bytes() == before
    assert not list(run.glob("*.part"))


def test_the_model_file_brings_it(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export(run, folder, torch.rand(1, 3, 64, 64))
    lively = tmp_path / "lively"
    adopt(folder, lively)
    export_realism(lively, folder)
    assert load_image_model(folder).drawn_with(1.0).grain is None
    grain = Grain(TINY.channels)
    torch.save(grain.state_dict(), lively / GRAIN_FILE)
    export_realism(lively, folder)
    found = load_image_model(folder).drawn_with(1.0).grain
    assert found is not None
    for name, tensor in grain.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
