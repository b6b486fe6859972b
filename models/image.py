"""Training of the image model: rate and distortion of all rungs at once, a budget in minutes.

    python -m streamcodec_models.image --data FOLDER --run runs/i --minutes 60

Starts from whatever the run folder holds, resumes where it was interrupted, writes
``curve-image.tsv`` and, every ten minutes and at the end, rate and PSNR on held-out pictures
into ``held-out-image.tsv``. The same command uses a CUDA
GPU if there is one. ``--loss`` trains a finished run on towards MS-SSIM or against an adversary
(:mod:`streamcodec_models.image_objectives`), ``--search`` on what a search finds
(:mod:`streamcodec_models.image_searched`), ``--encoder-alone`` lets the encoder catch up with what
such a stage has made of the generator; each is a stage of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamcodec.image.distortion import ms_ssim

from .image_model import ImageModel, load_config, load_model, rungs_shown
from .image_objectives import LOSSES, PERCEPTUAL, objective_of
from .photos import PhotoCorpus
from .plot import draw_if_possible
from .precision import narrow
from .stage import Stage

HELD_OUT_SIDE = 256
HELD_OUT_CROPS = 24


def train(args: argparse.Namespace) -> None:
    """Run the stage."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.run.mkdir(parents=True, exist_ok=True)
    config = load_config(args.run)
    if args.loss != PERCEPTUAL:
        config.distortion = args.loss
    (args.run / "config.json").write_text(json.dumps(asdict(config), indent=1))
    corpus = PhotoCorpus(args.data, args.cache or args.run / "cache")
    model = load_model(args.run, config).to(device)
    sizes = ", ".join(
        f"{n} {sum(p.numel() for p in m.parameters()) / 1e6:.2f} M"
        for n, m in model.named_children()
    )
    print(f"{corpus.megapixels():.0f} megapixels, device {device}, {sizes}", flush=True)
    crops = corpus.crops(args.side, args.batch, np.random.default_rng(args.seed))
    held = held_out_crops(corpus).to(device)
    lambdas = torch.tensor(config.lambdas, device=device)
    objective = objective_of(model, lambdas, args)
    stage = Stage(stage_name(args), args, objective.trained)
    stage.on_save = objective.save
    stage.resume()
    odds = torch.tensor(config.rate_odds)

    def loss_of(progress: float) -> dict[str, Tensor]:
        pixels = torch.from_numpy(next(crops)).to(device)
        rate = torch.multinomial(odds, len(pixels), replacement=True).to(device)
        return objective(pixels, rate, progress)

    def keep() -> None:
        store(args.run, model, stage)
        model.load_state_dict(load_model(args.run, config).to(device).state_dict())

    def figures() -> dict[str, float]:
        return held_out_figures(model, held, rungs_shown(config)) | objective.held_out(held)

    stage.run(loss_of, keep, figures)
    picture = draw_if_possible(args.run)
    print(f"curves: {picture or 'not drawn (none yet, or no matplotlib)'}", flush=True)


def stage_name(args: argparse.Namespace) -> str:
    """What curves and checkpoints of these options are called."""
    if args.search:
        return "image-searched"
    if args.encoder_alone:
        return "image-encoder"
    return "image" if args.loss == "mse" else f"image-{args.loss}"


def held_out_crops(corpus: PhotoCorpus) -> Tensor:
    """The same crops of held-out pictures each time, ``(n, 3, side, side)``."""
    fixed = corpus.crops(HELD_OUT_SIDE, HELD_OUT_CROPS, np.random.default_rng(1), held_out=True)
    return torch.from_numpy(next(fixed))


@torch.no_grad()
def held_out_figures(model: ImageModel, held: Tensor, rungs: Iterable[int]) -> dict[str, float]:
    """Bits a pixel, PSNR (dB, RGB) and MS-SSIM of E alone at each rung, means over crops."""
    result = {}
    for rung in rungs:
        rate = torch.full((len(held),), rung, device=held.device)
        with narrow(held.device):
            decoded, bpp = model(held, rate)
        decoded = decoded.clamp(0, 1)
        error = (decoded - held).square().flatten(1).mean(1)
        result[f"bpp@{rung}"] = float(bpp.mean())
        result[f"psnr@{rung}"] = float((-10 * error.log10()).mean())
        result[f"ms_ssim@{rung}"] = float(ms_ssim(decoded, held).mean())
    return result


def store(run: Path, model: ImageModel, stage: Stage) -> None:
    """Put the averaged weights into the run's model file."""
    state = model.state_dict()
    for name, value in stage.averaged().items():
        state[name.removeprefix("lattice.")] = value
    part = run / "model.part"
    torch.save(state, part)
    part.replace(run / "model.pt")


def parser() -> argparse.ArgumentParser:
    """Options of the training command."""
    p = argparse.ArgumentParser(description="train the image model")
    p.add_argument("--data", type=Path, required=True, help="folder of pictures")
    p.add_argument("--run", type=Path, required=True, help="folder of this run")
    p.add_argument("--minutes", type=float, default=60.0)
    p.add_argument("--cache", type=Path, help="decoded pictures (default: RUN/cache)")
    p.add_argument("--loss", choices=LOSSES, default="mse")
    p.add_argument(
        "--search", type=int, default=0, metavar="STEPS",
        help="train generator and prior on what so many steps of annealing find",
    )  # fmt: skip
    p.add_argument(
        "--replay",
        type=int,
        default=3,
        help="with --search: crops searched before that are learned from beside each new one",
    )
    p.add_argument(
        "--encoder-alone",
        action="store_true",
        help="the encoder alone, for a generator and a prior that stay as they are",
    )
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--side", type=int, default=128, help="crop side, a multiple of 16")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw")
    p.add_argument("--clip", type=float, default=5.0, help="largest gradient norm")
    p.add_argument("--decay", type=float, default=0.999, help="of the weight average")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument(
        "--adversarial", type=float, default=0.5,
        help="perceptual loss: how hard the adversary pulls, in pulls of squared error",
    )  # fmt: skip
    p.add_argument(
        "--features", type=float, default=0.3, help="weight of feature matching in the adversary's"
    )
    p.add_argument(
        "--likeness", type=float, default=0.0,
        help="the same pull of likeness to a classifier (needs the extra 'perceptual')",
    )  # fmt: skip
    p.add_argument("--judge-lr", type=float, default=2e-4, help="of the adversary")
    p.add_argument(
        "--adversary-from", type=float, default=0.05, help="part of the time before it counts"
    )
    p.add_argument("--print-seconds", type=float, default=30.0)
    p.add_argument("--save-seconds", type=float, default=240.0)
    p.add_argument("--check-minutes", type=float, default=10.0, help="between held-out figures")
    return p


def main() -> None:
    """Command line of the training."""
    p = parser()
    args = p.parse_args()
    if args.loss == PERCEPTUAL and (args.search or args.encoder_alone):
        p.error("--search and --encoder-alone go with the losses mse and ms-ssim")
    if args.search and args.encoder_alone:
        p.error("--search trains what --encoder-alone leaves as it is: one of them")
    train(args)


if __name__ == "__main__":
    main()
