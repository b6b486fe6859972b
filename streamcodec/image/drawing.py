"""Drawing pictures from latents, with more or less realism."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamcodec.core.model_file import fill, read_weights, refuse_another_decoders
from streamcodec.errors import ModelError
from streamcodec.image.tiles import Box
from streamcodec.nn.grain import MARGIN, Grain, bands_of
from streamcodec.nn.image import DRAWING, PATCH, STRIDE, ImageGenerator

GRAIN = "grain."
"""Prefix of the tensors of grain; a model may go without."""

GRAIN_SHARE = 0.4
"""Part of the strength that is lacking which is drawn at full realism. On held-out photographs
decoded patches are then nearest to real ones as a set. All of it looks noisy: what is lacking has a
course that noise does not follow."""

BYTES = 4
"""Random bytes whose sum stands for a normal variable."""

BYTES_MEAN, BYTES_DEVIATION = BYTES * 127.5, (BYTES * (256**2 - 1) / 12) ** 0.5


@dataclass(frozen=True)
class Drawing:
    """What draws pictures.

    Attributes
    ----------
    generator : ImageGenerator
    grain : Grain, optional
        Tells how much texture is lacking.
    amount : float
        Part of it that is drawn.
    """

    generator: ImageGenerator
    grain: Grain | None = None
    amount: float = 0.0

    @property
    def halo(self) -> int:
        """Latent positions around a part of a picture that its pixels depend on."""
        return self.generator.halo

    @torch.no_grad()
    def draw(self, latents: Tensor, place: Box) -> Tensor:
        """Pixels ``(3, 16 h, 16 w)``, not clamped, of latents ``(h, w, dim)`` of a ``place``.

        The same positions have the same grain wherever a rectangle that is drawn begins.
        """
        composed = self.generator.compose(latents[None])
        pixels = self.generator.draw(composed, latents[None])[0]
        if self.grain is not None and self.amount > 0.0:
            strengths = self.grain(composed)
            pixels = pixels + self.amount * texture(strengths, place.scaled(STRIDE))
        return pixels


def texture(strengths: Tensor, place: Box) -> Tensor:
    """Noise ``(1, h, w)`` of logarithmic strengths ``(1, BANDS, ...)`` for pixels of a picture."""
    deviations = F.interpolate(
        torch.exp(strengths), scale_factor=PATCH, mode="bilinear", align_corners=False
    )
    return (deviations[0] * _noise_bands(place)).sum(0, keepdim=True)


def realistic(path: Path, generator: ImageGenerator, identity: bytes, realism: float) -> Drawing:
    """The drawing of a generator with realism above 0, from a model's file for it.

    Raises
    ------
    ModelError
        The file is damaged or another decoder's.
    """
    config, tensors = read_weights(path)
    found = {name: tensor.float() for name, tensor in tensors.items()}
    grain_tensors = {n: t for n, t in found.items() if n.startswith(GRAIN)}
    layers = {n: t for n, t in found.items() if n not in grain_tensors}
    wanted = {
        name: weight.shape
        for name, weight in generator.named_parameters()
        if name.split(".")[0] in DRAWING
    }
    if {name: tensor.shape for name, tensor in layers.items()} != wanted:
        raise ModelError(f"{path} is damaged: it holds no drawing layers of this generator")
    refuse_another_decoders(path, config, identity)
    grain = None
    if grain_tensors:
        grain = Grain(generator.input.out_channels)
        try:
            fill(grain, grain_tensors, GRAIN)
        except RuntimeError as error:
            raise ModelError(f"{path} is damaged: its grain is not this generator's") from error
    mixed = copy.deepcopy(generator)
    with torch.no_grad():
        for name, weight in mixed.named_parameters():
            if name in layers:
                weight.lerp_(layers[name], realism)
    return Drawing(mixed, grain, GRAIN_SHARE * realism)


def _noise_bands(place: Box) -> Tensor:
    """Bands ``(BANDS, h, w)`` of unit variance of the noise of these pixels."""
    around = Box(place.y0 - MARGIN, place.y1 + MARGIN, place.x0 - MARGIN, place.x1 + MARGIN)
    white = torch.from_numpy(white_noise(around))
    return bands_of(white[None, None])[0] / _deviations()


@cache
def _deviations() -> Tensor:
    """Standard deviations of the bands of white noise, ``(BANDS, 1, 1)``.

    The variance of a band is the sum of the squares of its filter's coefficients.
    """
    side = 4 * MARGIN + 1
    impulse = torch.zeros(1, 1, side, side)
    impulse[0, 0, side // 2, side // 2] = 1.0
    return bands_of(impulse)[0].square().sum((1, 2), keepdim=True).sqrt()


def white_noise(place: Box) -> NDArray[np.float32]:
    """Noise of unit variance ``(h, w)``, nearly normal, a function of the places of pixels alone.

    Integers are scrambled by the finalizer of MurmurHash3 (Appleby, public domain).
    """
    rows = np.arange(place.y0, place.y1).astype(np.uint32)[:, None]
    columns = np.arange(place.x0, place.x1).astype(np.uint32)[None]
    bits = _scrambled(columns + _scrambled(rows))
    total = bits.view(np.uint8).reshape(*bits.shape, BYTES).sum(axis=2, dtype=np.float32)
    return (total - np.float32(BYTES_MEAN)) / np.float32(BYTES_DEVIATION)


def _scrambled(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Other bits, of which each depends on all of these."""
    bits = bits ^ (bits >> np.uint32(16))
    bits = bits * np.uint32(0x85EBCA6B)
    bits = bits ^ (bits >> np.uint32(13))
    bits = bits * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> np.uint32(16))
