"""Begin a training run from the weights of a finished model.

    python -m streamcodec_models adopt models/weights/speech-3 runs/a

The folder then trains on from there as from any run. Weights come back from half precision; where
optimizer and averages stood is not kept in a model, so a stage begins with fresh ones.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streamcodec.core.integer_network import IntegerNetwork
from streamcodec.core.model_file import read_integer_prior, read_weights
from streamcodec.errors import StreamcodecError
from streamcodec.nn.prior import fill_prior

from .image_model import PEAK, ImageConfig, ImageModel
from .speech_model import SpeechConfig, SpeechModel

Described = dict[str, Any]

NEW = {"generator.lost"}
"""What earlier models need not have: a run that begins with one of those learns it."""

SHORTCUT = "generator.shortcut.weight"
"""What tells that a model has shortcuts."""


def adopt(folder: Path, run: Path) -> list[str]:
    """Write the run's files; returns their names.

    Raises
    ------
    FileExistsError
        The run holds a model already.
    ModelError, FileNotFoundError
        The folder holds no readable model.
    """
    if (run / "model.pt").exists():
        raise FileExistsError(f"{run} holds a model already; give a new folder")
    paths = sorted(folder.glob("*.safetensors"))
    if not any(p.stem == "decoder" for p in paths):
        raise FileNotFoundError(f"{folder} holds no model (no decoder.safetensors)")
    parts = {p.stem: read_weights(p) for p in paths}
    described, tensors = parts["decoder"]
    for name in ("encoder", "vocoder"):
        tensors |= parts[name][1] if name in parts else {}
    tensors["log_gain"] = tensors["gains"].log()
    integers = read_integer_prior(described, tensors).network
    run.mkdir(parents=True, exist_ok=True)
    if described.get("kind") == "image":
        files = _image(described, tensors, integers)
    else:
        files = _speech(described, parts["vocoder"][0], tensors, integers)
        if "discriminator" in parts:
            files["discriminator.pt"] = {k: v.float() for k, v in parts["discriminator"][1].items()}
    config = files.pop("config")
    (run / "config.json").write_text(json.dumps(config, indent=1))
    for name, content in files.items():
        torch.save(content, run / name)
    return ["config.json", *files]


def _image(described: Described, tensors: dict[str, Tensor], integers: IntegerNetwork) -> Described:
    # Early models know one way between latents and symbols, there and back.
    tensors["log_step"] = tensors["steps"].log() if "steps" in tensors else -tensors["log_gain"]
    tensors["offset"] = tensors.get("offsets", torch.zeros_like(tensors["gains"]))
    lambdas = tuple(1.0 / (t * PEAK**2) for t in described["trade_offs"])
    known = _known(described, ImageConfig) | {"lambdas": lambdas, "shortcut": SHORTCUT in tensors}
    config = ImageConfig(**known)
    return {"config": asdict(config), "model.pt": _filled(ImageModel(config), tensors, integers)}


def _speech(
    described: Described, vocoder: Described, tensors: dict[str, Tensor], integers: IntegerNetwork
) -> Described:
    shape = {f"vocoder_{k}": vocoder[k] for k in ("channels", "hidden", "blocks")}
    shape["shortcut"] = SHORTCUT in tensors
    known = _known({**vocoder, **described}, SpeechConfig)
    config = SpeechConfig(**{**known, **shape})
    log_lambda = [
        math.log(trade_off * target)
        for trade_off, target in zip(described["trade_offs"], config.targets, strict=True)
    ]
    return {
        "config": asdict(config),
        "model.pt": _filled(SpeechModel(config), tensors, integers),
        "inherited.pt": {"log_lambda": log_lambda},
    }


def _known(described: Described, config: type) -> Described:
    """Those entries that a configuration knows, lists as tuples."""
    names = {f.name for f in fields(config)}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in described.items() if k in names}


def _filled(
    model: ImageModel | SpeechModel, tensors: dict[str, Tensor], integers: IntegerNetwork
) -> dict[str, Tensor]:
    """State of a model with the tensors of the same names; what else it holds is as at first.

    Its prior is the integer one if it is there in no other form.
    """
    fill_prior(model.prior, tensors, integers)
    state = model.state_dict()
    tensors = tensors | {f"prior.{k}": v for k, v in model.prior.named_parameters()}
    missing = {k for k, _ in model.named_parameters()} - tensors.keys() - NEW
    if missing:
        raise FileNotFoundError(f"the model lacks {', '.join(sorted(missing))}")
    return state | {k: tensors[k].float() for k in state.keys() & tensors.keys()}


def main() -> None:
    """Command line of the adoption."""
    parser = argparse.ArgumentParser(description="begin a run from a finished model")
    parser.add_argument("folder", type=Path, help="folder of the model")
    parser.add_argument("run", type=Path, help="folder of the new run")
    args = parser.parse_args()
    try:
        print(f"{args.run}: {', '.join(adopt(args.folder, args.run))}")
    except (StreamcodecError, OSError) as error:
        raise SystemExit(f"adopt: {error}") from error


if __name__ == "__main__":
    main()
