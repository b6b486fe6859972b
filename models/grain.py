"""Training of grain: how strong the texture is that a run's pictures lack.

    python -m streamcodec_models grain RUN --data FOLDER --minutes 10

All networks of the run stay as they are. What is learned (:mod:`streamcodec.nn.grain`), from the
residuals of crops on all rungs, goes into ``grain.pt`` of the run, and with
``export_image --realism`` into the model's file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamcodec.image.distortion import LUMA
from streamcodec.nn.grain import Grain, surprise

from .image import held_out_crops
from .image_model import ImageModel, load_config, load_model, rungs_shown
from .photos import PhotoCorpus
from .precision import narrow
from .stage import Stage

GRAIN_FILE = "grain.pt"
"""What was learned, in the run's folder."""


@torch.no_grad()
def residuals(model: ImageModel, pixels: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """What G composes for crops ``(n, 3, h, w)`` on rungs ``(n,)``, and the luma that is lacking.

    Returns ``(n, channels, h / 16, w / 16)`` and ``(n, 1, h, w)``.
    """
    with narrow(pixels.device):
        latents = model.dequantized(model.encoder(pixels).float(), rate)
        composed = model.generator.compose(latents)
        decoded = model.generator.draw(composed, latents)
    weights = torch.tensor(LUMA, device=pixels.device)[:, None, None]
    lacking = ((pixels - decoded.float().clamp(0.0, 1.0)) * weights).sum(1, keepdim=True)
    return composed.float(), lacking


def train(args: argparse.Namespace) -> None:
    """Train until the minutes are spent, from where an earlier run was interrupted."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = load_config(args.run)
    model = load_model(args.run, config).to(device).eval().requires_grad_(False)
    grain = Grain(config.channels).to(device)
    corpus = PhotoCorpus(args.data, args.cache or args.run / "cache")
    crops = corpus.crops(args.side, args.batch, np.random.default_rng(args.seed))
    held = held_out_crops(corpus).to(device)
    odds = torch.tensor(config.rate_odds)
    stage = Stage("grain", args, {"grain": grain})
    stage.resume()

    def loss_of(progress: float) -> dict[str, Tensor]:
        pixels = torch.from_numpy(next(crops)).to(device)
        rate = torch.multinomial(odds, len(pixels), replacement=True).to(device)
        composed, lacking = residuals(model, pixels, rate)
        return {"loss": surprise(grain(composed), lacking)}

    def keep() -> None:
        averaged = {k.removeprefix("grain."): v for k, v in stage.averaged().items()}
        part = args.run / "grain.part"
        torch.save(averaged, part)
        part.replace(args.run / GRAIN_FILE)
        grain.load_state_dict(averaged)

    stage.run(loss_of, keep, lambda: {"surprise": held_out_surprise(model, grain, held)})


@torch.no_grad()
def held_out_surprise(model: ImageModel, grain: Grain, pixels: Tensor) -> float:
    """Loss on crops, mean over rungs of the whole ladder."""
    found = []
    for rung in rungs_shown(model.config):
        rate = torch.full((len(pixels),), rung, device=pixels.device)
        composed, lacking = residuals(model, pixels, rate)
        found.append(float(surprise(grain(composed), lacking)))
    return float(np.mean(found))


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    p = argparse.ArgumentParser(description="learn how strong the grain is that pictures lack")
    p.add_argument("run", type=Path)
    p.add_argument("--data", type=Path, required=True, help="folder of pictures")
    p.add_argument("--cache", type=Path, help="decoded pictures (default: RUN/cache)")
    p.add_argument("--minutes", type=float, default=10.0)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--side", type=int, default=128, help="crop side, a multiple of 16")
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--print-seconds", type=float, default=30.0)
    p.add_argument("--save-seconds", type=float, default=240.0)
    p.add_argument("--check-minutes", type=float, default=10.0, help="between held-out figures")
    # What Stage asks for besides; a small network with a smooth loss has no need to choose.
    p.set_defaults(optimizer="adamw", clip=5.0, decay=0.99)
    return p


def main() -> None:
    """Command line of the training."""
    train(parser().parse_args())


if __name__ == "__main__":
    main()
