"""The mean of runs is that of their weights, and what does not belong together is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from streamcodec_models import average as module
from streamcodec_models.average import average
from streamcodec_models.image_model import ImageModel, load_config, load_model

from tests.models.image_runs import TINY


def run_at(folder: Path, value: float, **changes: object) -> Path:
    """A run whose weights are all ``value``."""
    state = {
        k: torch.full_like(v, value) if v.is_floating_point() else v
        for k, v in ImageModel(TINY).state_dict().items()
    }
    folder.mkdir()
    torch.save(state, folder / "model.pt")
    (folder / "config.json").write_text(json.dumps(asdict(TINY) | changes))
    return folder


def test_the_mean_is_weighted_and_loads(tmp_path: Path) -> None:
    a = run_at(tmp_path / "a", 1.0)
    odds = [1.0] * len(TINY.lambdas)
    b = run_at(tmp_path / "b", 2.0, rate_odds=odds)
    average([(a, 2.0), (b, 3.0)], tmp_path / "c")
    model = load_model(tmp_path / "c", load_config(tmp_path / "c"))
    for parameter in model.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 1.6))
    assert list(load_config(tmp_path / "c").rate_odds) == odds


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    a, b = run_at(tmp_path / "a", 1.0), run_at(tmp_path / "b", 1.0, channels=32)
    out = tmp_path / "c"
    with pytest.raises(ValueError, match="other networks"):
        average([(a, 1.0), (b, 1.0)], out)
    with pytest.raises(ValueError, match="two runs"):
        average([(a, 1.0)], out)
    with pytest.raises(ValueError, match="above zero"):
        average([(a, 1.0), (a, 0.0)], out)
    with pytest.raises(FileNotFoundError, match="no finished run"):
        average([(a, 1.0), (tmp_path, 1.0)], out)
    with pytest.raises(FileExistsError, match="already"):
        average([(a, 1.0), (a, 1.0)], b)
    assert not out.exists()


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = run_at(tmp_path / "a", 1.0), run_at(tmp_path / "b", 3.0)
    out = tmp_path / "c"
    monkeypatch.setattr(sys, "argv", ["average", f"{a}:3", str(b), "--out", str(out)])
    module.main()
    assert "mean of 2 runs" in capsys.readouterr().out
    state = torch.load(out / "model.pt")
    torch.testing.assert_close(state["log_gain"], torch.full_like(state["log_gain"], 1.5))
    with pytest.raises(SystemExit):
        module.main()
    assert "already" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["average", f"{a}:much", str(b), "--out", str(out)])
    with pytest.raises(SystemExit):
        module.main()
    assert "RUN:WEIGHT" in capsys.readouterr().err
