"""The image model: its files, its identity and its networks ready to run.

A model is a folder of two safetensors files (see :mod:`streamcodec.core.model_file`):

* ``decoder.safetensors``: generator, gains of the rate ladder, integer prior.
* ``encoder.safetensors``: encoder, the prior in floating point for the search.

It may hold ``realism.safetensors``: drawing layers of G learned against an adversary, which a
decoder may use in place of those that mind fidelity, and perhaps how strong the grain is that
pictures lack (:mod:`streamcodec.nn.grain`). And ``encoder-NAME.safetensors``: an encoder that
guesses for the distortion of that name; generator and prior serve all of them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from streamcodec.core.grid import GridCoder
from streamcodec.core.model_file import (
    fill,
    find_model_folder,
    for_search,
    identity_of,
    read_integer_prior,
    read_weights,
    refuse_another_decoders,
)
from streamcodec.errors import InputError, ModelError
from streamcodec.image.distortion import DEFAULT_DISTORTION, DISTORTIONS
from streamcodec.image.drawing import Drawing, realistic
from streamcodec.image.items import MAX_RUNGS
from streamcodec.nn.image import ImageEncoder, ImageGenerator
from streamcodec.nn.prior import fill_prior
from streamcodec.nn.spatial_prior import NEIGHBOURS, SpatialPrior

DEFAULT_MODEL = "image-7"
"""Folder of the default weights inside the package of trained models."""

KIND = "image"
"""What the configuration calls a model for pictures."""

_PARTS = ("decoder", "encoder")

REALISM_FILE = "realism.safetensors"


def encoder_file(distortion: str) -> str:
    """Name of the file of an encoder that guesses for a distortion."""
    return f"encoder-{distortion}.safetensors"


@dataclass(frozen=True)
class ImageModel:
    """Networks and tables of one trained image codec, on the CPU, in float32.

    ``search_generator`` is the generator once more, in the precision in which the search is
    fastest. What it finds is only a choice of symbols; both sides run ``generator`` on them.

    Attributes
    ----------
    identity : bytes
        First 8 bytes of the SHA-256 of ``decoder.safetensors``' tensors.
    rates : tuple of float
        Nominal bits a pixel of the rungs, ascending.
    gains : Tensor
        ``(rungs, latent_dim)``; latents times gains are in lattice units.
    steps, offsets : Tensor
        ``(rungs, latent_dim)``, the way back: see :meth:`from_lattice`.
    trade_offs : tuple of float
        Mean squared error (pixels in 0..1) worth one bit a pixel at each rung, as trained.
    distortion : str
        What the search calls close unless a caller says otherwise: what the model was made for.
    realism_file : Path, optional
        Where the generator's drawing layers of full realism are, if there are any. They are read
        when somebody asks for them.
    encoder_files : mapping of str to Path
        Where encoders for other distortions than the model's own are. They are read when a picture
        is encoded for one.
    """

    name: str
    identity: bytes
    rates: tuple[float, ...]
    gains: Tensor
    steps: Tensor
    offsets: Tensor
    trade_offs: tuple[float, ...]
    encoder: ImageEncoder
    generator: ImageGenerator
    search_generator: ImageGenerator
    search_prior: SpatialPrior
    coder: GridCoder
    distortion: str = DEFAULT_DISTORTION
    realism_file: Path | None = None
    encoder_files: Mapping[str, Path] = field(default_factory=dict)

    def guessing_for(self, distortion: str) -> ImageModel:
        """The same model with the encoder for a distortion, if it has one.

        Raises
        ------
        ModelError
            That encoder is damaged or another decoder's.
        """
        if distortion not in self.encoder_files:
            return self
        path = self.encoder_files[distortion]
        config, tensors = read_weights(path)
        refuse_another_decoders(path, config, self.identity)
        encoder = copy.deepcopy(self.encoder)
        try:
            fill(encoder, tensors, "encoder.")
        except RuntimeError as error:
            raise ModelError(f"{path} is damaged: it is no encoder of this model") from error
        return replace(self, encoder=encoder)

    def drawn_with(self, realism: float) -> Drawing:
        """What draws for a decoder that asks for so much realism.

        Between 0 and 1 its weights lie between those of fidelity and those of realism, which
        works for networks of one descent (network interpolation: Wang et al., *ESRGAN*, ECCV
        workshops 2018). That one file serves all of them is the idea of Agustsson et al.,
        *Multi-realism image compression with a conditional generator*, CVPR 2023.

        Raises
        ------
        InputError
            ``realism`` is not 0 to 1, or the model can draw in one way only.
        ModelError
            The layers for it are damaged or another decoder's.
        """
        if not (math.isfinite(realism) and 0.0 <= realism <= 1.0):
            raise InputError(f"realism must be 0 to 1, not {realism!r}")
        if realism == 0.0:
            return Drawing(self.generator)
        if self.realism_file is None:
            raise InputError(
                f"the model {self.name} draws for fidelity only; decode its pictures with realism 0"
            )
        return realistic(self.realism_file, self.generator, self.identity, realism)

    def from_lattice(self, symbols: Tensor, rung: int) -> Tensor:
        """Latents of symbols ``(..., latent_dim)`` on a rung's lattice.

        Steps are near to the gains' inverse. Offsets tell the generator on which rung it is.
        """
        return (symbols + self.offsets[rung]) * self.steps[rung]

    @property
    def search_dtype(self) -> torch.dtype:
        """What the search computes in: bfloat16 where the processor multiplies it natively."""
        return next(self.search_generator.parameters()).dtype

    def search_precision(self) -> torch.autocast:
        """What the search computes the prior in; narrow, bits change by 0.01 %, a look by 1/8."""
        narrow = self.search_dtype
        return torch.autocast("cpu", narrow, enabled=narrow != torch.float32)

    @property
    def latent_dim(self) -> int:
        """Symbols at a latent position."""
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
    return find_model_folder(DEFAULT_MODEL if name is None else name, _PARTS, "an image model")


def load_image_model(name: str | Path | ImageModel | None = None) -> ImageModel:
    """Load a model; the same folder is loaded once a process. A loaded model is given back.

    Raises
    ------
    ModelNotFoundError
        If the model is not there.
    ModelError
        If its files are damaged or do not fit each other.
    """
    if isinstance(name, ImageModel):
        return name
    return _load(model_folder(name).resolve())


@lru_cache(maxsize=4)
def _load(folder: Path) -> ImageModel:
    config, tensors = read_weights(folder / "decoder.safetensors")
    _, encoder_tensors = read_weights(folder / "encoder.safetensors")
    if config.get("kind") != KIND:
        raise ModelError(f"{folder} holds no image model; give the folder of one")
    try:
        widths = {k: int(config[k]) for k in ("latent_dim", "patch_channels", "channels")}
        encoder = ImageEncoder(
            **widths,
            patch_blocks=int(config["encoder_patch_blocks"]),
            blocks=int(config["encoder_blocks"]),
            shortcut="encoder.shortcut.weight" in encoder_tensors,
        )
        fill(encoder, encoder_tensors, "encoder.")
        generator = ImageGenerator(
            **widths,
            patch_blocks=int(config["generator_patch_blocks"]),
            blocks=int(config["generator_blocks"]),
            shortcut="generator.shortcut.weight" in tensors,
        )
        fill(generator, tensors, "generator.")
        search_prior = SpatialPrior(
            widths["latent_dim"],
            int(config["prior_hidden"]),
            tuple(float(s) for s in config["rate_scales"]),
        )
        integers = read_integer_prior(config, tensors)
        fill_prior(search_prior, encoder_tensors, integers.network)
        coder = GridCoder(integers, NEIGHBOURS)
        gains = tensors["gains"].float()
        # Early models know one way between latents and symbols, there and back.
        steps = tensors["steps"].float() if "steps" in tensors else 1.0 / gains
        offsets = tensors["offsets"].float() if "offsets" in tensors else torch.zeros_like(gains)
        rates = tuple(float(r) for r in config["rates"])
        trade_offs = tuple(float(t) for t in config["trade_offs"])
        name = str(config["name"])
        distortion = str(config.get("distortion", DEFAULT_DISTORTION))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model in {folder} is damaged: {error}") from error
    rungs = len(rates)
    if not (
        1 <= rungs <= MAX_RUNGS
        and gains.shape == steps.shape == offsets.shape == (rungs, widths["latent_dim"])
        and len(trade_offs) == rungs == coder.prior.rates
        and all(bool((t.isfinite() & (t > 0)).all()) for t in (gains, steps))
        and bool(offsets.isfinite().all())
        and min(trade_offs) > 0
    ):
        raise ModelError(f"the model in {folder} is damaged: gains, rates and trade-offs differ")
    if distortion not in DISTORTIONS:
        raise ModelError(
            f"the model in {folder} is made for the distortion {distortion!r}, which this version "
            "does not know; a newer one may"
        )
    identity = identity_of(config, tensors)
    realism_file = folder / REALISM_FILE
    encoder_files = {aim: folder / encoder_file(aim) for aim in DISTORTIONS}
    return ImageModel(
        name, identity, rates, gains, steps, offsets, trade_offs, encoder, generator,
        for_search(generator), search_prior, coder, distortion,
        realism_file if realism_file.exists() else None,
        {aim: path for aim, path in encoder_files.items() if path.exists()},
    )  # fmt: skip
