"""Rungs between rungs: the old ones stay as they were, the new ones lie between."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from streamcodec_models import ladder
from streamcodec_models.image_model import ImageModel, load_config, load_model
from streamcodec_models.ladder import refine, with_rungs_between

from tests.models.image_runs import TINY, photographs


def untrained() -> ImageModel:
    torch.manual_seed(3)
    model = ImageModel(TINY)
    with torch.no_grad():
        for name in (*ladder.LATTICE, "prior.rate_bias"):
            parameter = dict(model.named_parameters())[name]
            parameter += 0.1 * torch.randn_like(parameter)
        # A prior that has learned nothing says the same on all rungs.
        torch.nn.init.normal_(model.prior.output.weight, std=0.3)
    return model.eval()


def test_old_rungs_code_as_before_and_new_ones_between() -> None:
    model = untrained()
    finer = with_rungs_between(model, 3).eval()
    assert len(finer.config.lambdas) == 21
    assert sum(finer.config.rate_odds) == pytest.approx(1.0)
    pixels = photographs(1)
    bits, rung = [], torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        for old in range(len(TINY.lambdas)):
            assert finer.config.lambdas[4 * old] == pytest.approx(TINY.lambdas[old])
            expected, found = model(pixels, rung + old), finer(pixels, rung + 4 * old)
            torch.testing.assert_close(found[0], expected[0])
            torch.testing.assert_close(found[1], expected[1])
        for new in range(21):
            bits.append(float(finer(pixels, rung + new)[1]))
    ratios = [finer.config.lambdas[k + 1] / finer.config.lambdas[k] for k in range(4)]
    assert ratios == pytest.approx([ratios[0]] * 4)
    # A rung between two costs what lies between, or nearly.
    for old in range(0, 20, 4):
        low, high = sorted((bits[old], bits[old + 4]))
        for new in range(old + 1, old + 4):
            assert 0.9 * low < bits[new] < 1.1 * high


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    model = untrained()
    with pytest.raises(ValueError, match="one rung or more"):
        with_rungs_between(model, 0)
    with pytest.raises(ValueError, match="file can tell"):
        with_rungs_between(model, 30)
    single = ImageModel(replace(TINY, lambdas=(0.01,), rate_scales=(1.0,), rate_odds=(1.0,)))
    with pytest.raises(ValueError, match="nothing between"):
        with_rungs_between(single, 1)
    with pytest.raises(FileNotFoundError, match="no finished run"):
        refine(tmp_path, tmp_path / "new", 1)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    torch.save(untrained().state_dict(), run / "model.pt")
    (run / "config.json").write_text(json.dumps(asdict(TINY)))
    command = ["ladder", str(run), "--between", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    ladder.main()
    assert "11 rungs" in capsys.readouterr().out
    assert len(load_config(out).rate_scales) == 11
    assert load_model(out, load_config(out)).log_step.shape == (11, TINY.latent_dim)
    with pytest.raises(SystemExit):
        ladder.main()
    assert "already" in capsys.readouterr().err
