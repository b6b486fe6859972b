"""Give a run more latents, with shortcuts that make them of use at once.

    python -m streamcodec_models grow RUN NEW --latents 192 --data FOLDER

What the latents of a run cannot hold is lacking in what it decodes at any rate. The new ones, and
those that carry nothing (training has no way to bring them back), begin as the principal
components of what is lacking: E's shortcut finds them in what it encodes, G's shortcut draws them.
The other latents, and what G makes of them, stay as they were; the prior knows nothing of the new
ones yet, so the new run begins with more bits and has to train on.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamcodec.errors import StreamcodecError
from streamcodec.nn.image import COLOURS, PATCH, STRIDE

from . import image_model, speech_model
from .data import SpeechCorpus
from .image_model import PEAK, ImageModel
from .photos import PhotoCorpus
from .precision import narrow
from .speech_model import SpeechModel
from .speech_task import DEFAULT_WEIGHTS

AnyModel = TypeVar("AnyModel", ImageModel, SpeechModel)

CROPS, CROP_SIDE, AT_ONCE = 160, 256, 8
"""Training crops that tell what decoded pictures lack, and how many of them are seen at a time."""

SOUNDS, SOUND_SAMPLES = 600, 64_000
"""The same of sounds."""

DEAD = 0.003
"""A latent that is zero at all but so many positions, on the finest lattice, carries nothing."""

NEW_LOG_SCALE = -1.5
"""Of new symbols under a prior that knows nothing of them."""

STEP_RATE = 2.0 * math.log(2.0) / 12.0
"""Squared error that a bit saves with a step of one, at high resolution."""

TAPPED = ("prior.context.weight", "generator.stack.input.linear.weight")
"""Matrices whose columns are steps, or neighbours, times latents."""


@dataclass(frozen=True)
class Seen:
    """What a model encodes, and what it lacks of that though nothing is rounded.

    Attributes
    ----------
    input : Tensor, shape (positions, values)
        As E's shortcut sees it.
    lacking : Tensor, shape (positions, values)
        As G's shortcut draws it.
    alive : Tensor, shape (latent_dim,)
        Latents in use.
    steps : Tensor, shape (rungs,)
        Lattice steps that suit an orthonormal latent at each rung.
    """

    input: Tensor
    lacking: Tensor
    alive: Tensor
    steps: Tensor


def grown(model: AnyModel, latents: int, seen: Seen) -> AnyModel:
    """The model with so many latents.

    Raises
    ------
    ValueError
        There are as many latents already.
    """
    old = model.config
    before: int = old.latent_dim
    if latents <= before:
        raise ValueError(f"the run has {before} latents; a grown one has more, not {latents}")
    config = replace(
        old, latent_dim=latents, prior_hidden=old.prior_hidden // before * latents, shortcut=True
    )
    new = [*torch.nonzero(~seen.alive).flatten().tolist(), *range(before, latents)]
    analysis, synthesis = _components(seen, len(new))
    larger = type(model)(config)
    state = _embedded(model.state_dict(), larger.state_dict(), before, latents)
    finds, draws = state["encoder.shortcut.weight"], state["generator.shortcut.weight"]
    finds[new] = analysis.T.reshape(len(new), *finds.shape[1:])
    draws[:, new] = synthesis.reshape(-1, len(new), *draws.shape[2:])
    for name in ("encoder.output.weight", "encoder.output.bias"):
        state[name][new] = 0.0
    for name, weight in state.items():
        if name == "generator.input.weight":
            weight[:, new] = 0.0
        elif name == "generator.stack.input.linear.weight":
            weight.unflatten(1, (-1, latents))[:, :, new] = 0.0
        elif name == "generator.lost":
            weight[new] = 0.0
    for half in (0, latents):
        rated = [half + channel for channel in new]
        state["prior.output.weight"][rated] = 0.0
        state["prior.output.bias"][rated] = NEW_LOG_SCALE if half else 0.0
    state["log_gain"][:, new] = -seen.steps.log()[:, None]
    if "log_step" in state:
        state["log_step"][:, new], state["offset"][:, new] = seen.steps.log()[:, None], 0.0
    larger.load_state_dict(state)
    return larger


@torch.no_grad()
def seen_in_pictures(model: ImageModel, pictures: Tensor) -> Seen:
    """What there is to pictures ``(n, 3, side, side)``."""
    lacking, used = [], torch.zeros(model.config.latent_dim)
    for x in pictures.split(AT_ONCE):
        with narrow(x.device):
            latents = model.encoder(x).float()
            decoded = model.generator(latents).float()
        lacking.append(_positions(F.pixel_unshuffle(x - decoded, STRIDE)))
        used += (latents * model.log_gain[-1].exp()).round().ne(0).float().sum((0, 1, 2))
    found = torch.cat(lacking)
    # Ordered by colour and place in the patch, then by patch.
    pixels = F.pixel_unshuffle(F.pixel_unshuffle(pictures - 0.5, PATCH), STRIDE // PATCH)
    # A bit is worth as much squared error as a finer step saves for it.
    worth = torch.tensor(model.config.lambdas) * (PEAK**2 / COLOURS * STEP_RATE)
    return Seen(_positions(pixels), found, used / len(found) > DEAD, worth.rsqrt())


@torch.no_grad()
def seen_in_speech(model: SpeechModel, sounds: Tensor) -> Seen:
    """What there is to sounds ``(n, samples)``."""
    config, inputs, lacking, errors = model.config, [], [], []
    used = torch.zeros(config.latent_dim)
    for x in sounds.split(AT_ONCE):
        mel = model.mel(x)
        latents, _ = model.encoder(mel)
        decoded, _ = model.generator(latents)
        mel = mel[:, : decoded.shape[1]]
        inputs.append(mel.reshape(-1, config.frames_per_latent * config.n_mels))
        lacking.append((mel - decoded).reshape(inputs[-1].shape))
        used += (latents * model.log_gain[-1].exp()).round().ne(0).float().sum((0, 1))
        rounded = [model.generator((latents * g).round() / g)[0] for g in model.log_gain.exp()]
        errors.append(torch.stack([(r - decoded).square().mean() for r in rounded]))
    found = torch.cat(lacking)
    # The steps that would make the rounding errors that there are.
    error = torch.stack(errors).mean(0) * found.shape[1] / config.latent_dim
    return Seen(torch.cat(inputs), found, used / len(found) > DEAD, (12.0 * error).sqrt())


def _components(seen: Seen, count: int) -> tuple[Tensor, Tensor]:
    """The largest components of what is lacking.

    Returns what finds them in the input by least squares, and what draws them, both
    ``(values, count)``.
    """
    lacking = seen.lacking.double()
    _, vectors = torch.linalg.eigh(lacking.T @ lacking)
    synthesis = vectors.flip(1)[:, :count]
    given = seen.input.double()
    square = given.T @ given
    square.diagonal().add_(1e-6 * len(given))
    analysis = torch.linalg.solve(square, given.T @ (lacking @ synthesis))
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
        if name in TAPPED:
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


def _crops(data: Path, cache: Path) -> Tensor:
    crops: Iterator[np.ndarray] = PhotoCorpus(data, cache).crops(
        CROP_SIDE, CROPS, np.random.default_rng(5)
    )
    return torch.from_numpy(next(crops))


def _sounds(data: Path, cache: Path) -> Tensor:
    sounds = SpeechCorpus(data, cache).crops(
        SOUND_SAMPLES, SOUNDS, np.random.default_rng(5), DEFAULT_WEIGHTS
    )
    return torch.from_numpy(next(sounds))


def grow(run: Path, new: Path, latents: int, data: Path, cache: Path) -> None:
    """Begin a run with the larger model of another run.

    Raises
    ------
    FileNotFoundError
        ``run`` holds no model, or ``data`` nothing of its kind.
    FileExistsError
        ``new`` holds a model already.
    ValueError
        The model has as many latents.
    """
    if not (run / "model.pt").exists():
        raise FileNotFoundError(f"{run} holds no finished run (model.pt)")
    if (new / "model.pt").exists():
        raise FileExistsError(f"{new} holds a model already; give a new folder")
    torch.manual_seed(0)
    larger: ImageModel | SpeechModel
    if "n_mels" in json.loads((run / "config.json").read_text()):
        speech = speech_model.load_model(run, speech_model.load_config(run))
        larger = grown(speech, latents, seen_in_speech(speech, _sounds(data, cache)))
    else:
        image = image_model.load_model(run, image_model.load_config(run))
        larger = grown(image, latents, seen_in_pictures(image, _crops(data, cache)))
    new.mkdir(parents=True, exist_ok=True)
    for kept in ("inherited.pt", "discriminator.pt"):
        if (run / kept).exists():
            shutil.copy(run / kept, new / kept)
    (new / "config.json").write_text(json.dumps(asdict(larger.config), indent=1))
    torch.save(larger.state_dict(), new / "model.pt")


def main() -> None:
    """Command line of the growth."""
    parser = argparse.ArgumentParser(description="give a run more latents")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("new", type=Path, help="folder of the new run")
    parser.add_argument("--latents", type=int, required=True, help="how many it is to have")
    parser.add_argument("--data", type=Path, required=True, help="what it is trained on")
    parser.add_argument("--cache", type=Path, help="decoded data (default: NEW/cache)")
    args = parser.parse_args()
    try:
        grow(args.run, args.new, args.latents, args.data, args.cache or args.new / "cache")
    except (OSError, ValueError, StreamcodecError) as error:
        raise SystemExit(f"grow: {error}") from error
    print(f"{args.new}: {args.latents} latents")


if __name__ == "__main__":
    main()
