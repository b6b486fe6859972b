"""Give an image run more latents, with shortcuts that make them of use at once.

    python -m streamcodec_models grow RUN NEW --latents 192 --data FOLDER

What the latents of a run cannot hold its pictures lack at any rate. The new ones, and those that
carry nothing (training has no way to bring them back), begin as the principal components of what
decoded pictures lack: E's shortcut finds them in the pixels, G's shortcut draws them. They lie on
the lattice that is best for Gaussian noise of that kind at the rung's trade-off. The other
latents, and what G makes of them, stay as they were; the prior knows nothing of the new ones yet,
so the new run begins with more bits and has to train on.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamcodec.nn.image import COLOURS, PATCH, STRIDE

from .image_model import PEAK, ImageConfig, ImageModel, load_config, load_model
from .photos import PhotoCorpus
from .precision import narrow

CROPS, CROP_SIDE, AT_ONCE = 160, 256, 8
"""Training crops that tell what decoded pictures lack, and how many of them are seen at a time."""

DEAD = 0.003
"""A latent that is zero at all but so many positions, on the finest lattice, carries nothing."""

NEW_LOG_SCALE = -1.5
"""Of new symbols under a prior that knows nothing of them."""

STEP_RATE = 2.0 * math.log(2.0) / 12.0
"""Squared error that a bit saves with a step of one, at high resolution."""


def grown(model: ImageModel, latents: int, pictures: Tensor) -> ImageModel:
    """The model with so many latents.

    Parameters
    ----------
    model : ImageModel
    latents : int
        More than the model has.
    pictures : Tensor, shape (n, 3, side, side)
        Of the kind that it is for.

    Raises
    ------
    ValueError
        There are as many latents already.
    """
    old, before = model.config, model.config.latent_dim
    if latents <= before:
        raise ValueError(f"the run has {before} latents; a grown one has more, not {latents}")
    config = replace(
        old, latent_dim=latents, prior_hidden=old.prior_hidden // before * latents, shortcut=True
    )
    lacking, alive = _lacking(model, pictures)
    new = [*torch.nonzero(~alive).flatten().tolist(), *range(before, latents)]
    analysis, synthesis = _components(pictures, lacking, len(new))
    larger = ImageModel(config)
    state = _embedded(model.state_dict(), larger.state_dict(), before, latents)
    rows = STRIDE // PATCH
    # Pixels of a position are ordered by colour and place in the patch, then by patch.
    state["encoder.shortcut.weight"][new] = analysis.T.reshape(
        len(new), COLOURS * PATCH**2, rows, rows
    )
    state["generator.shortcut.weight"][:, new] = synthesis[:, :, None, None]
    for name in ("encoder.output.weight", "encoder.output.bias"):
        state[name][new] = 0.0
    state["generator.input.weight"][:, new] = 0.0
    for half in (0, latents):
        rated = [half + channel for channel in new]
        state["prior.output.weight"][rated] = 0.0
        state["prior.output.bias"][rated] = NEW_LOG_SCALE if half else 0.0
    # A bit is worth as much squared error as a finer step saves for it.
    worth = torch.tensor(config.lambdas) * (PEAK**2 / COLOURS * STEP_RATE)
    state["log_gain"][:, new] = 0.5 * worth.log()[:, None]
    larger.load_state_dict(state)
    return larger


@torch.no_grad()
def _lacking(model: ImageModel, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """What G lacks of each position's pixels though nothing is rounded, and latents in use.

    Shapes ``(positions, 3 * STRIDE**2)`` and ``(latent_dim,)``.
    """
    lacking, used = [], torch.zeros(model.config.latent_dim)
    for x in pictures.split(AT_ONCE):
        with narrow(x.device):
            latents = model.encoder(x).float()
            decoded = model.generator(latents).float()
        lacking.append(_positions(F.pixel_unshuffle(x - decoded, STRIDE)))
        used += (latents * model.log_gain[-1].exp()).round().ne(0).float().sum((0, 1, 2))
    found = torch.cat(lacking)
    return found, used / len(found) > DEAD


def _components(pictures: Tensor, lacking: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest components of what is lacking.

    Returns what finds them in pixels as E's shortcut sees those, ``(3 * STRIDE**2, count)``, by
    least squares, and what draws them, of the same shape.
    """
    _, vectors = torch.linalg.eigh((lacking.T @ lacking).double())
    synthesis = vectors.flip(1)[:, :count]
    pixels = F.pixel_unshuffle(F.pixel_unshuffle(pictures - 0.5, PATCH), STRIDE // PATCH)
    seen = _positions(pixels).double()
    square = seen.T @ seen
    square.diagonal().add_(1e-6 * len(seen))
    analysis = torch.linalg.solve(square, seen.T @ (lacking.double() @ synthesis))
    return analysis.float(), synthesis.float()


def _positions(x: Tensor) -> Tensor:
    """``(n, c, h, w)`` to ``(n h w, c)``."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _embedded(
    small: dict[str, Tensor], large: dict[str, Tensor], before: int, latents: int
) -> dict[str, Tensor]:
    """The small state inside the large one, which pays no heed to what is new."""
    state = {name: value.clone() for name, value in large.items()}
    for name, value in small.items():
        if name.endswith("_mask"):
            continue
        place = state[name]
        if name == "prior.context.weight":
            # Columns are neighbours times latents.
            place[: len(value)] = 0.0
            taps = place.unflatten(1, (-1, latents))
            taps[: len(value), :, :before] = value.unflatten(1, (-1, before))
        elif name.startswith("prior.output"):
            # Rows are locations, then log-scales.
            place.zero_()
            halves = place.unflatten(0, (2, latents))
            inside = (slice(None), slice(before), *(slice(n) for n in value.shape[1:]))
            halves[inside] = value.unflatten(0, (2, before))
        else:
            if place.shape != value.shape:
                # Hidden units of the prior that are there already see none of the new ones.
                place[: value.shape[0]] = 0.0
            place[tuple(slice(n) for n in value.shape)] = value
    for name in ("encoder.shortcut.weight", "generator.shortcut.weight"):
        if name not in small:
            state[name].zero_()
    return state


def _crops(corpus: PhotoCorpus) -> Tensor:
    crops: Iterator[np.ndarray] = corpus.crops(CROP_SIDE, CROPS, np.random.default_rng(5))
    return torch.from_numpy(next(crops))


def write(run: Path, model: ImageModel) -> None:
    """Begin a run with a model."""
    run.mkdir(parents=True, exist_ok=True)
    config: ImageConfig = model.config
    (run / "config.json").write_text(json.dumps(asdict(config), indent=1))
    torch.save(model.state_dict(), run / "model.pt")


def main() -> None:
    """Command line of the growth."""
    parser = argparse.ArgumentParser(description="give an image run more latents")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("new", type=Path, help="folder of the new run")
    parser.add_argument("--latents", type=int, required=True, help="how many it is to have")
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--cache", type=Path, help="decoded pictures (default: NEW/cache)")
    args = parser.parse_args()
    if not (args.run / "model.pt").exists():
        parser.error(f"{args.run} holds no finished run (model.pt)")
    if (args.new / "model.pt").exists():
        parser.error(f"{args.new} holds a model already; give a new folder")
    torch.manual_seed(0)
    try:
        pictures = _crops(PhotoCorpus(args.data, args.cache or args.new / "cache"))
        model = grown(load_model(args.run, load_config(args.run)), args.latents, pictures)
    except (OSError, ValueError) as error:
        raise SystemExit(f"grow: {error}") from error
    write(args.new, model)
    print(f"{args.new}: {args.latents} latents")


if __name__ == "__main__":
    main()
