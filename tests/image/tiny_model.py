"""A tiny image model whose weights are written down, not trained: it codes means of patches.

A latent position holds the mean colours of its four patches of 8 x 8 pixels; the generator paints
them back. Small random taps on top let every value depend on its neighbours, so that a forgotten
halo shows.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from streamcodec_models.export_prior import integer_prior
from torch import Tensor

from streamcodec.nn.image import COLOURS, FOLD, PATCH, ImageEncoder, ImageGenerator
from streamcodec.nn.spatial_prior import SpatialPrior

LATENT_DIM = COLOURS * FOLD**2
SIZES = {"latent_dim": LATENT_DIM, "patch_channels": COLOURS, "channels": LATENT_DIM}
BLOCKS = 1
GAINS = (6.0, 12.0, 24.0, 48.0)
RATE_SCALES = (1.0, 2.0, 4.0, 8.0)
RATES = (0.1, 0.14, 0.18, 0.22)
TRADE_OFFS = (0.02, 0.005, 0.0012, 0.0003)
NOISE = 0.02
LITTLE = 0.1


def _centre(weight: Tensor, values: Tensor) -> None:
    """Set the middle tap of a 3 x 3 convolution, or the only tap of a 1 x 1 one."""
    weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2] += values


@torch.no_grad()
def networks(
    seed: int = 5, *, shortcut: bool = False
) -> tuple[ImageEncoder, ImageGenerator, SpatialPrior]:
    torch.manual_seed(seed)
    shape = {**SIZES, "patch_blocks": BLOCKS, "blocks": BLOCKS}
    encoder = ImageEncoder(**shape, shortcut=shortcut)
    generator = ImageGenerator(**shape, shortcut=shortcut)
    prior = SpatialPrior(LATENT_DIM, 2 * LATENT_DIM, RATE_SCALES)
    for network in (encoder, generator):
        for parameter in network.parameters():
            parameter.normal_(0.0, NOISE if parameter.dim() > 1 else 0.0)
        if network.shortcut is not None:
            network.shortcut.weight *= LITTLE  # it sums over a whole position
    of_patch = torch.zeros(COLOURS, COLOURS * PATCH**2)
    for colour in range(COLOURS):
        of_patch[colour, colour * PATCH**2 : (colour + 1) * PATCH**2] = 1 / PATCH**2
    encoder.input.weight.zero_()
    _centre(encoder.input.weight, of_patch)
    _centre(generator.output.weight, (of_patch > 0).float().t())
    identity = torch.eye(LATENT_DIM)
    encoder.down.weight += identity.reshape(COLOURS, FOLD, FOLD, LATENT_DIM).permute(3, 0, 1, 2)
    _centre(encoder.output.weight, identity)
    _centre(generator.input.weight, identity)
    _centre(generator.up.weight, identity)
    prior.context.weight.normal_(0.0, 0.2)
    prior.output.weight.normal_(0.0, 0.03)
    prior.output.bias[LATENT_DIM:] = -0.5
    prior.rate_bias.normal_(0.0, 0.2)
    return encoder.eval(), generator.eval(), prior


def save_tiny_model(
    folder: Path,
    seed: int = 5,
    *,
    shortcut: bool = False,
    way_back: bool = False,
    steps: float | None = None,
    offsets: float | None = None,
) -> Path:
    """Write the model as a folder that the library loads.

    With a ``way_back`` it has steps and offsets from symbols to latents: some, or the same ones
    for all.
    """
    encoder, generator, prior = networks(seed, shortcut=shortcut)
    tensors, numbers = integer_prior(prior)
    config = {
        **SIZES,
        "kind": "image",
        "name": "tiny",
        "encoder_patch_blocks": BLOCKS,
        "encoder_blocks": BLOCKS,
        "generator_patch_blocks": BLOCKS,
        "generator_blocks": BLOCKS,
        "prior_hidden": prior.hidden,
        "rate_scales": RATE_SCALES,
        "rates": RATES,
        "trade_offs": TRADE_OFFS,
        "integer_prior": numbers,
    }
    decoder = {f"generator.{k}": v for k, v in generator.state_dict().items()}
    decoder |= {f"integer_prior.{k}": torch.from_numpy(v) for k, v in tensors.items()}
    decoder["gains"] = torch.tensor(GAINS)[:, None].repeat(1, LATENT_DIM)
    if way_back:
        random = torch.Generator().manual_seed(seed)
        shape = decoder["gains"].shape
        decoder["steps"] = (1.0 + 0.2 * torch.rand(shape, generator=random)) / decoder["gains"]
        decoder["offsets"] = 0.3 * torch.randn(shape, generator=random)
        for name, value in (("steps", steps), ("offsets", offsets)):
            if value is not None:
                decoder[name].fill_(value)
    guide = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    guide |= {
        f"prior.{k}": v
        for k, v in prior.state_dict().items()
        if "mask" not in k and "scales" not in k
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, state, described in (("decoder", decoder, config), ("encoder", guide, {})):
        state = {k: v.detach().contiguous() for k, v in state.items()}
        save_file(state, folder / f"{name}.safetensors", metadata={"config": json.dumps(described)})
    return folder
