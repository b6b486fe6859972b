"""The networks of the image codec together, as training sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamcodec.nn.image import ImageEncoder, ImageGenerator
from streamcodec.nn.spatial_prior import SpatialPrior

from .losses import coded_bits

PEAK = 255.0
"""Trade-offs are told for pixels of 0..255, as the literature does."""


@dataclass
class ImageConfig:
    """Everything that fixes the shape of an image model."""

    latent_dim: int = 192
    patch_channels: int = 192
    channels: int = 320
    encoder_patch_blocks: int = 2
    encoder_blocks: int = 2
    generator_patch_blocks: int = 3
    generator_blocks: int = 3
    shortcut: bool = True
    prior_hidden: int = 768
    # Squared error (pixels of 0..255) worth one bit a pixel, inverted: the usual lambda. The
    # rungs were chosen to spread over 0.1 to 1 bit a pixel.
    lambdas: tuple[float, ...] = (0.0015, 0.003, 0.006, 0.012, 0.025, 0.05)
    rate_scales: tuple[float, ...] = (0.5, 0.71, 1.0, 1.41, 2.0, 2.83)
    rate_odds: tuple[float, ...] = (0.12, 0.2, 0.28, 0.2, 0.12, 0.08)
    distortion: str = "mse"
    """What the search is to call close, unless a caller says otherwise."""


RUNGS_SHOWN = 6
"""Rungs that figures of a run are told of, at most."""

LATTICE = ("log_gain", "log_step", "offset")
"""Parameters of a model that lead from latents to the lattices of its rungs, and back."""


class ImageModel(nn.Module):
    """All networks of the image codec, and what leads from latents to integers and back."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        c = self.config = config
        self.encoder = ImageEncoder(
            c.latent_dim, c.patch_channels, c.channels, c.encoder_patch_blocks, c.encoder_blocks,
            shortcut=c.shortcut,
        )  # fmt: skip
        self.generator = ImageGenerator(
            c.latent_dim, c.patch_channels, c.channels, c.generator_patch_blocks,
            c.generator_blocks, shortcut=c.shortcut,
        )  # fmt: skip
        self.prior = SpatialPrior(c.latent_dim, c.prior_hidden, c.rate_scales)
        self.log_gain = nn.Parameter(
            torch.log(torch.tensor(c.rate_scales))[:, None].repeat(1, c.latent_dim)
        )
        # The way back: steps need not be the gains' inverse, and with an offset of its own G can
        # tell a rung from the others.
        self.log_step = nn.Parameter(-self.log_gain.detach())
        self.offset = nn.Parameter(torch.zeros_like(self.log_gain))

    def quantize(self, latents: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Round latents ``(n, h, w, c)`` on the lattice of their rung.

        Returns the dequantized latents (straight-through gradient) and the bits of each crop
        ``(n,)``, see :func:`.losses.coded_bits`.
        """
        gain = torch.exp(self.log_gain[rate])[:, None, None]
        scaled = latents * gain
        symbols = torch.round(scaled).detach()
        through = symbols + (scaled - scaled.detach())
        location, log_scale = self.prior.distributions(symbols, rate)
        bits = coded_bits(scaled, symbols, location, log_scale)
        return self.from_lattice(through, rate), bits.flatten(1).sum(1)

    def from_lattice(self, symbols: Tensor, rate: Tensor) -> Tensor:
        """Latents ``(n, h, w, c)`` of symbols on the lattices of their rungs ``(n,)``."""
        offset, step = self.offset[rate], self.log_step[rate].exp()
        return (symbols + offset[:, None, None]) * step[:, None, None]

    def dequantized(self, latents: Tensor, rate: Tensor) -> Tensor:
        """Latents ``(n, h, w, c)`` as a decoder has them, no gradient."""
        gain = torch.exp(self.log_gain.detach()[rate])[:, None, None]
        return self.from_lattice(torch.round(latents.detach() * gain), rate).detach()

    def forward(self, pixels: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded pixels, and bits a pixel of each crop."""
        latents = self.encoder(pixels).float()
        dequantized, bits = self.quantize(latents, rate)
        decoded = self.generator(dequantized).float()
        return decoded, bits / (pixels.shape[2] * pixels.shape[3])


def rungs_shown(config: ImageConfig) -> list[int]:
    """The rungs that figures of a run are told of: all, or some from the first to the last."""
    rungs = len(config.lambdas)
    count = min(rungs, RUNGS_SHOWN)
    return [round(k * (rungs - 1) / max(1, count - 1)) for k in range(count)]


def load_config(run: Path) -> ImageConfig:
    """The configuration of a run folder; the default one if it has none."""
    path = run / "config.json"
    if not path.exists():
        return ImageConfig()
    stored: dict[str, Any] = json.loads(path.read_text())
    stored.setdefault("shortcut", False)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return ImageConfig(**values)


def load_model(run: Path, config: ImageConfig) -> ImageModel:
    """The model of a run folder: averaged weights of whatever has been trained so far."""
    model = ImageModel(config)
    path = run / "model.pt"
    if path.exists():
        state = torch.load(path, map_location="cpu", weights_only=True)
        # Earlier runs knew one way between latents and symbols, there and back.
        state.setdefault("log_step", -state["log_gain"])
        state.setdefault("offset", torch.zeros_like(state["log_gain"]))
        model.load_state_dict(state)
    return model
