"""The speech model: its files, its identity and its networks ready to run.

A model is a folder of three safetensors files:

* ``decoder.safetensors``: generator, gains of the rate ladder, integer prior. What both sides
  must share; its hash is the model's identity, and every stream carries it.
* ``encoder.safetensors``: encoder, mel filterbank, the prior in floating point for the search.
* ``vocoder.safetensors``: the vocoder.

Encoder and vocoder may be exchanged for better ones without changing a stream.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamcodec.core.entropy import IntegerPrior
from streamcodec.errors import ModelError, ModelNotFoundError
from streamcodec.nn.autoencoder import Encoder, Generator
from streamcodec.nn.prior import MaskedPrior
from streamcodec.nn.vocoder import Vocoder
from streamcodec.speech import geometry

IDENTITY_BYTES = 8
"""Length of the model identity in a stream: enough to tell models apart, not a signature."""

DEFAULT_MODEL = "speech-1"
"""Folder of the default weights inside the package of trained models."""

_PARTS = ("decoder", "encoder", "vocoder")


@dataclass(frozen=True)
class SpeechModel:
    """Networks and tables of one trained speech codec, on the CPU, in float32.

    ``search_generator`` is the generator once more, in the precision in which the search is
    fastest. What it finds is only a choice of symbols; both sides run ``generator`` on them.

    Attributes
    ----------
    identity : bytes
        First 8 bytes of the SHA-256 of ``decoder.safetensors``' tensors.
    rates : tuple of int
        Nominal bits a second of the rungs, ascending.
    gains : Tensor
        ``(rungs, latent_dim)``; latents times gains are in lattice units.
    trade_offs : tuple of float
        Distortion worth one bit at each rung, as training found them.
    """

    name: str
    identity: bytes
    rates: tuple[int, ...]
    gains: Tensor
    trade_offs: tuple[float, ...]
    filterbank: np.ndarray
    encoder: Encoder
    generator: Generator
    vocoder: Vocoder
    search_generator: Generator
    search_prior: MaskedPrior
    prior: IntegerPrior

    @property
    def search_dtype(self) -> torch.dtype:
        """What the search computes in: bfloat16 where the processor multiplies it natively."""
        return next(self.search_generator.parameters()).dtype

    @property
    def latent_dim(self) -> int:
        """Symbols in a latent step."""
        return int(self.gains.shape[1])


def model_folder(name: str | Path | None = None) -> Path:
    """The folder of a model.

    ``None`` is the default model; a bare name is looked up in the installed package of trained
    models; anything else is a path.

    Raises
    ------
    ModelNotFoundError
        If there is no such folder or a file is missing from it.
    """
    if name is None:
        name = DEFAULT_MODEL
    folder = Path(name)
    if isinstance(name, str) and folder.name == name and not folder.is_dir():
        spec = importlib.util.find_spec("streamcodec_models")
        roots = list(spec.submodule_search_locations or []) if spec else []
        if not roots:
            raise ModelNotFoundError(
                "the package of trained models (streamcodec_models) is not installed; install it "
                "or give the path of a model folder"
            )
        folder = Path(roots[0]) / "weights" / name
    missing = [p for p in _PARTS if not (folder / f"{p}.safetensors").is_file()]
    if missing:
        raise ModelNotFoundError(
            f"a speech model is a folder with {', '.join(f'{p}.safetensors' for p in _PARTS)}; "
            f"{folder} lacks {', '.join(f'{p}.safetensors' for p in missing)}"
        )
    return folder


def load_speech_model(name: str | Path | None = None) -> SpeechModel:
    """Load a model; the same folder is loaded once a process.

    Raises
    ------
    ModelNotFoundError
        If the model is not there.
    ModelError
        If its files are damaged or do not fit each other.
    """
    return _load(model_folder(name).resolve())


@lru_cache(maxsize=4)
def _load(folder: Path) -> SpeechModel:
    files = {p: _read(folder / f"{p}.safetensors") for p in _PARTS}
    config, tensors = files["decoder"]
    try:
        shape = {
            k: int(config[k])
            for k in (
                "n_mels", "frames_per_latent", "latent_dim", "channels", "hidden", "blocks"
            )
        }  # fmt: skip
        _require_geometry(shape)
        generator = Generator(**shape)
        _fill(generator, tensors, "generator.")
        encoder = Encoder(**shape)
        _, encoder_tensors = files["encoder"]
        _fill(encoder, encoder_tensors, "encoder.")
        rate_scales = tuple(float(s) for s in config["rate_scales"])
        search_prior = MaskedPrior(
            shape["latent_dim"], int(config["prior_context"]), int(config["prior_hidden"]),
            rate_scales,
        )  # fmt: skip
        _fill(search_prior, encoder_tensors, "prior.")
        search_prior.bake_masks()
        vocoder_config, vocoder_tensors = files["vocoder"]
        vocoder = Vocoder(
            shape["n_mels"], geometry.N_FFT, shape["frames_per_latent"],
            int(vocoder_config["channels"]), int(vocoder_config["hidden"]),
            int(vocoder_config["blocks"]),
        )  # fmt: skip
        _fill(vocoder, vocoder_tensors, "vocoder.")
        integer = {
            k.removeprefix("integer_prior."): v.numpy()
            for k, v in tensors.items()
            if k.startswith("integer_prior.")
        }
        prior = IntegerPrior(integer, config["integer_prior"])
        gains = tensors["gains"].float()
        rates = tuple(int(r) for r in config["rates"])
        trade_offs = tuple(float(t) for t in config["trade_offs"])
        filterbank = encoder_tensors["filterbank"].float().numpy()
        name = str(config["name"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model in {folder} is damaged: {error}") from error
    if not (gains.shape == (len(rates), shape["latent_dim"]) and len(trade_offs) == len(rates)):
        raise ModelError(f"the model in {folder} is damaged: gains, rates and trade-offs differ")
    return SpeechModel(
        name, identity_of(config, tensors), rates, gains, trade_offs, filterbank,
        encoder, generator, vocoder, _for_search(generator), search_prior, prior,
    )  # fmt: skip


def identity_of(config: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """Identity of a decoder: hash of its configuration and of every tensor, in name order."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.digest()[:IDENTITY_BYTES]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not a readable weights file: {error}") from error


def _fill(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    state = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    own = {k for k, _ in module.named_buffers()}
    module.load_state_dict({**{k: v for k, v in module.state_dict().items() if k in own}, **state})
    module.eval().requires_grad_(False)


def _for_search(generator: Generator) -> Generator:
    """The generator in bfloat16 where the processor has it: half the memory to read, 2-4 x."""
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return copy.deepcopy(generator).to(torch.bfloat16)
    return generator


def _require_geometry(shape: dict[str, int]) -> None:
    wanted = {"n_mels": geometry.N_MELS, "frames_per_latent": geometry.FRAMES_PER_LATENT}
    for key, value in wanted.items():
        if shape[key] != value:
            raise ModelError(f"this release needs a model with {key} = {value}, not {shape[key]}")
