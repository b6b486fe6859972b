"""Fixtures of the tests of training."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamcodec_models import image

from tests.models.image_runs import TINY, Clock, photographs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = ["file,split"]
    for number, pixels in enumerate(photographs(3)):
        # Held-out crops are larger than those that are trained on.
        samples = np.asarray((pixels.permute(1, 2, 0) * 255).to(torch.uint8)).repeat(2, 0)
        Image.fromarray(samples.repeat(2, 1)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'val' if number == 2 else 'train'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def train(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(loss: str, *more: str, seconds: int = 12) -> dict[str, torch.Tensor]:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        if not (folder / "config.json").exists():
            (folder / "config.json").write_text(json.dumps(asdict(TINY)))
        monkeypatch.setattr("streamcodec_models.stage.time", Clock())
        monkeypatch.setattr(image, "HELD_OUT_CROPS", 2)
        arguments = [
            "--data", str(data), "--run", str(folder), "--minutes", str(seconds / 60),
            "--batch", "2", "--side", "64", "--loss", loss, "--adversary-from", "0",
            *more,
        ]  # fmt: skip
        image.train(image.parser().parse_args(arguments))
        state: dict[str, torch.Tensor] = torch.load(folder / "model.pt", weights_only=True)
        return state

    return run
