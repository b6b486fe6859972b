"""Weights of 8 bits come back as numbers, are told apart as stored, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from streamcodec_models.export import eight_bit
from torch import Tensor

from streamcodec.core.model_file import SCALE, identity_of, read_weights
from streamcodec.errors import ModelError

WEIGHT = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
STATE = {"input.weight": WEIGHT, "mix.weight": WEIGHT, "mix.bias": WEIGHT[:, 0, 0, 0]}


def written(folder: Path, tensors: dict[str, Tensor]) -> Path:
    path = folder / "x.safetensors"
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    save_file(tensors, path, metadata={"config": json.dumps({"a": 1})})
    return path


def test_weights_come_back_nearly(tmp_path: Path) -> None:
    _, found = read_weights(written(tmp_path, eight_bit(STATE, "net.", keep=("input",))))
    assert found.keys() == {f"net.{k}" for k in STATE}
    step = WEIGHT.flatten(1).abs().amax(1)[:, None, None, None] / 127
    assert bool(((found["net.mix.weight"] - WEIGHT).abs() <= 0.51 * step).all())
    assert torch.equal(found["net.input.weight"], WEIGHT.half())
    assert torch.equal(found["net.mix.bias"], STATE["mix.bias"].half())


def test_a_row_of_zeros_stays_one(tmp_path: Path) -> None:
    weight = WEIGHT.clone()
    weight[2] = 0.0
    _, found = read_weights(written(tmp_path, eight_bit({"mix.weight": weight}, "")))
    assert not found["mix.weight"][2].any()
    assert bool(found["mix.weight"].isfinite().all())


def test_identity_is_that_of_the_stored_tensors(tmp_path: Path) -> None:
    stored = eight_bit(STATE, "")
    config, found = read_weights(written(tmp_path, stored))
    assert identity_of(config, found) == identity_of(config, stored)
    assert identity_of(config, found) != identity_of(config, dict(found))
    stored["mix.weight"][0, 0, 0, 0] += 1
    _, other = read_weights(written(tmp_path, stored))
    assert identity_of(config, found) != identity_of(config, other)


@pytest.mark.parametrize("scale", [None, torch.ones(5), torch.ones(6, 1), torch.tensor(1.0)])
def test_factors_that_do_not_fit_are_refused(scale: Tensor | None, tmp_path: Path) -> None:
    stored = eight_bit(STATE, "")
    if scale is None:
        del stored["mix.weight" + SCALE]
    else:
        stored["mix.weight" + SCALE] = scale
    with pytest.raises(ModelError, match=r"mix\.weight.*damaged"):
        read_weights(written(tmp_path, stored))
