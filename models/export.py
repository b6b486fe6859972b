"""Turn a training run into the weight files of a speech model.

    python -m streamcodec_models.export RUN models/weights/NAME

Weights are stored in half precision, or in 8 bits, the integer prior as integers. The files are
written next to their places and then moved there together.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from streamcodec.core.model_file import SCALE

from .export_prior import integer_prior
from .speech_model import SpeechModel, load_config, load_model
from .speech_task import inherited

INT8_PEAK = 127
"""Largest stored weight of a row."""

ENDS = ("input", "output")
"""Layers of the vocoder that stay in half precision."""


def read_run(run: Path) -> tuple[SpeechModel, dict[str, Any]]:
    """The model of a run folder and the extra state of its last stage."""
    if not (run / "model.pt").exists():
        raise FileNotFoundError(f"{run} holds no finished stage (model.pt)")
    return load_model(run, load_config(run)).eval(), inherited(run)


def export(run: Path, folder: Path) -> dict[str, int]:
    """Write the files of a model; returns their sizes in bytes."""
    model, extra = read_run(run)
    c = model.config
    tensors, prior_config = integer_prior(model.prior)
    trade_offs = [
        float(torch.tensor(lam).exp()) / t
        for lam, t in zip(extra["log_lambda"], c.targets, strict=True)
    ]
    config = {
        "name": folder.name,
        "n_mels": c.n_mels,
        "frames_per_latent": c.frames_per_latent,
        "latent_dim": c.latent_dim,
        "channels": c.channels,
        "hidden": c.hidden,
        "blocks": c.blocks,
        "rates": [int(r) for r in c.rates],
        "rate_scales": list(c.rate_scales),
        "trade_offs": trade_offs,
        "prior_context": c.prior_context,
        "prior_hidden": c.prior_hidden,
        "integer_prior": prior_config,
    }
    decoder = half(model.generator.state_dict(), "generator.")
    decoder |= {f"integer_prior.{k}": torch.from_numpy(v) for k, v in tensors.items()}
    decoder["gains"] = model.log_gain.detach().exp()
    encoder = half(model.encoder.state_dict(), "encoder.")
    encoder["filterbank"] = model.mel.filterbank
    vocoder = eight_bit(model.vocoder.state_dict(), "vocoder.", ENDS)
    shape = {"channels": c.vocoder_channels, "hidden": c.vocoder_hidden, "blocks": c.vocoder_blocks}
    judges = run / "discriminator.pt"
    parts: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {
        "decoder": (decoder, config),
        "encoder": (encoder, {}),
        "vocoder": (vocoder, shape),
    }
    if judges.exists():
        # No codec needs them; whoever trains on from this model does.
        state = torch.load(judges, map_location="cpu", weights_only=True)
        parts["discriminator"] = (half(state, ""), {})
    return write_parts(folder, parts)


def write_parts(
    folder: Path, parts: dict[str, tuple[dict[str, Tensor], dict[str, Any]]]
) -> dict[str, int]:
    """Write the files of a model, all of them before any is put in its place.

    ``parts`` are tensors and configuration of each file; returns the files' sizes in bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (state, described) in parts.items():
        state = {k: v.contiguous() for k, v in state.items()}
        save_file(state, folder / f"{name}.part", metadata={"config": json.dumps(described)})
    sizes = {}
    for name in parts:
        final = folder / f"{name}.safetensors"
        (folder / f"{name}.part").replace(final)
        sizes[final.name] = final.stat().st_size
    return sizes


def half(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors in half precision, under longer names."""
    return {prefix + k: v.detach().half() for k, v in state.items()}


def eight_bit(
    state: Mapping[str, Tensor], prefix: str, keep: Collection[str] = ()
) -> dict[str, Tensor]:
    """Matrices and kernels in 8 bits with a factor a row, the rest in half precision.

    The factor makes the largest weight of the row 127; see
    :mod:`streamcodec.core.model_file` for the layout. Modules named in ``keep`` stay in half
    precision: first and last layers, which are small, are where 8 bits do harm.
    """
    tensors = half(state, prefix)
    for name, weight in state.items():
        if weight.dim() < 2 or name.split(".")[0] in keep:
            continue
        rows = weight.detach().float().flatten(1)
        scale = (rows.abs().amax(dim=1) / INT8_PEAK).clamp_min(torch.finfo(torch.float32).tiny)
        tensors[prefix + name] = (rows / scale[:, None]).round().to(torch.int8).view(weight.shape)
        tensors[prefix + name + SCALE] = scale
    return tensors


def main() -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description="export a training run as model files")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    for name, size in export(args.run, args.folder).items():
        print(f"{name}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
