"""The speech model: its files, its identity and its networks ready to run.

A model is a folder of three safetensors files:

* ``decoder.safetensors``: generator, gains of the rate ladder, integer prior. What both sides
  must share; its hash is the model's identity, and every stream carries it.
* ``encoder.safetensors``: encoder, mel filterbank, the prior in floating point for the search.
* ``vocoder.safetensors``: the vocoder.

Encoder and vocoder may be exchanged for better ones without changing a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.model_file import (
    fill,
    find_model_folder,
    for_search,
    identity_of,
    read_integer_prior,
    read_weights,
)
from streamcodec.errors import ModelError
from streamcodec.nn.autoencoder import Encoder, Generator
from streamcodec.nn.prior import MaskedPrior, fill_prior
from streamcodec.nn.vocoder import Vocoder
from streamcodec.speech import geometry

DEFAULT_MODEL = "speech-3"
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
    return find_model_folder(DEFAULT_MODEL if name is None else name, _PARTS, "a speech model")


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
    files = {p: read_weights(folder / f"{p}.safetensors") for p in _PARTS}
    config, tensors = files["decoder"]
    try:
        shape: dict[str, Any] = {
            k: int(config[k])
            for k in (
                "n_mels", "frames_per_latent", "latent_dim", "channels", "hidden", "blocks"
            )
        }  # fmt: skip
        _require_geometry(shape)
        generator = Generator(
            **shape,
            erasures="generator.lost" in tensors,
            shortcut="generator.shortcut.weight" in tensors,
        )
        fill(generator, tensors, "generator.")
        _, encoder_tensors = files["encoder"]
        encoder = Encoder(**shape, shortcut="encoder.shortcut.weight" in encoder_tensors)
        fill(encoder, encoder_tensors, "encoder.")
        rate_scales = tuple(float(s) for s in config["rate_scales"])
        search_prior = MaskedPrior(
            shape["latent_dim"], int(config["prior_context"]), int(config["prior_hidden"]),
            rate_scales,
        )  # fmt: skip
        prior = read_integer_prior(config, tensors)
        fill_prior(search_prior, encoder_tensors, prior.network)
        vocoder_config, vocoder_tensors = files["vocoder"]
        vocoder = Vocoder(
            shape["n_mels"], geometry.N_FFT, shape["frames_per_latent"],
            int(vocoder_config["channels"]), int(vocoder_config["hidden"]),
            int(vocoder_config["blocks"]),
        )  # fmt: skip
        fill(vocoder, vocoder_tensors, "vocoder.")
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
        encoder, generator, vocoder, for_search(generator), search_prior, prior,
    )  # fmt: skip


def _require_geometry(shape: dict[str, int]) -> None:
    wanted = {"n_mels": geometry.N_MELS, "frames_per_latent": geometry.FRAMES_PER_LATENT}
    for key, value in wanted.items():
        if shape[key] != value:
            raise ModelError(f"this release needs a model with {key} = {value}, not {shape[key]}")
