"""Turn a training run into the weight files of an image model.

    python -m streamcodec_models.export_image RUN models/weights/NAME --data FOLDER

A run of the loss ``perceptual`` began from a model and changed its drawing layers alone; those
become a file more in that model's folder:

    python -m streamcodec_models.export_image RUN models/weights/NAME --realism

A run of ``--encoder-alone`` for another loss becomes one, too, from which pictures are encoded for
that distortion:

    python -m streamcodec_models.export_image RUN models/weights/NAME --encoder-for ms-ssim
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from streamcodec.core.model_file import FOR_DECODER, identity_of, read_weights, restored
from streamcodec.image.distortion import DISTORTIONS
from streamcodec.image.drawing import GRAIN
from streamcodec.image.model import REALISM_FILE, encoder_file
from streamcodec.nn.image import DRAWING

from .export import eight_bit, half, write_parts
from .export_prior import integer_prior
from .grain import GRAIN_FILE
from .image import held_out_crops, held_out_figures
from .image_model import PEAK, load_config, load_model
from .photos import PhotoCorpus

FULLER = ("input", "output", "shortcut")
"""Layers of E and G that stay in half precision. With the others in 8 bits held-out photographs
lose 0.00 to 0.01 dB at equal bits, with all of them up to 0.15 dB."""


def export(
    run: Path, folder: Path, pictures: torch.Tensor, *, halves: bool = False
) -> dict[str, int]:
    """Write the files of a model; returns their sizes in bytes.

    Weights of E and G take 8 bits, or 16 if ``halves``.
    ``pictures`` ``(n, 3, side, side)``, not trained on, tell the nominal rates of the rungs.
    """
    if not (run / "model.pt").exists():
        raise FileNotFoundError(f"{run} holds no finished run (model.pt)")
    model = load_model(run, load_config(run)).eval()
    c = model.config
    tensors, prior_config = integer_prior(model.prior)
    figures = held_out_figures(model, pictures, range(len(c.lambdas)))
    config = {
        "kind": "image",
        "name": folder.name,
        "latent_dim": c.latent_dim,
        "patch_channels": c.patch_channels,
        "channels": c.channels,
        "encoder_patch_blocks": c.encoder_patch_blocks,
        "encoder_blocks": c.encoder_blocks,
        "generator_patch_blocks": c.generator_patch_blocks,
        "generator_blocks": c.generator_blocks,
        "prior_hidden": c.prior_hidden,
        "rates": [round(figures[f"bpp@{r}"], 3) for r in range(len(c.lambdas))],
        "rate_scales": list(c.rate_scales),
        # Mean squared error of pixels in 0..1 that is worth one bit a pixel.
        "trade_offs": [1.0 / (lam * PEAK**2) for lam in c.lambdas],
        "distortion": c.distortion,
        "integer_prior": prior_config,
    }
    keep = [n for n, _ in model.generator.named_children()] if halves else FULLER
    decoder = eight_bit(model.generator.state_dict(), "generator.", keep)
    decoder |= {f"integer_prior.{k}": torch.from_numpy(v) for k, v in tensors.items()}
    decoder["gains"] = model.log_gain.detach().exp()
    decoder["steps"] = model.log_step.detach().exp()
    decoder["offsets"] = model.offset.detach().clone()
    encoder = eight_bit(model.encoder.state_dict(), "encoder.", keep)
    return write_parts(folder, {"decoder": (decoder, config), "encoder": (encoder, {})})


def export_realism(run: Path, folder: Path) -> dict[str, int]:
    """Add a run's drawing layers, and its grain if it has any, to the model that it began from.

    Returns the file's size.

    Raises
    ------
    ValueError
        The run began from another model: other layers differ, too.
    """
    found = load_model(run, load_config(run)).generator.state_dict()
    other = {k: v for k, v in found.items() if k.split(".")[0] not in DRAWING}
    described = _for_decoder(run, folder, other)
    drawing = {k: v for k, v in found.items() if k not in other}
    exported = eight_bit(drawing, "", FULLER)
    if (run / GRAIN_FILE).exists():
        grain = torch.load(run / GRAIN_FILE, map_location="cpu", weights_only=True)
        exported |= half(grain, GRAIN)
    part = {Path(REALISM_FILE).stem: (exported, described)}
    return write_parts(folder, part)


def export_encoder(run: Path, folder: Path, distortion: str) -> dict[str, int]:
    """Add a run's encoder to the model that it began from, for pictures of that distortion.

    Returns the file's size.

    Raises
    ------
    ValueError
        The run began from another model: its generator differs.
    """
    model = load_model(run, load_config(run))
    described = _for_decoder(run, folder, model.generator.state_dict())
    exported = eight_bit(model.encoder.state_dict(), "encoder.", FULLER)
    return write_parts(folder, {Path(encoder_file(distortion)).stem: (exported, described)})


def _for_decoder(run: Path, folder: Path, layers: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """What says to which decoder a file belongs, if these layers of the generator are its own.

    A run may have been adopted from the model or be the one that it was exported from.
    """
    config, tensors = read_weights(folder / "decoder.safetensors")
    exported = restored(eight_bit(layers, "", FULLER))
    for name, layer in layers.items():
        stored = tensors[f"generator.{name}"].float()
        if not any(torch.allclose(mine.float(), stored) for mine in (layer, exported[name])):
            raise ValueError(f"{run} did not begin from {folder}: its {name} differs")
    return {FOR_DECODER: identity_of(config, tensors).hex()}


def main() -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description="export an image training run as model files")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="folder of pictures")
    parser.add_argument("--cache", type=Path, help="decoded pictures (default: RUN/cache)")
    parser.add_argument("--halves", action="store_true", help="all weights in 16 bits, not in 8")
    parser.add_argument(
        "--realism", action="store_true",
        help="drawing layers alone, for the model that the run began from",
    )  # fmt: skip
    parser.add_argument(
        "--encoder-for", choices=tuple(DISTORTIONS),
        help="the encoder alone, for pictures of this distortion",
    )  # fmt: skip
    args = parser.parse_args()
    if args.encoder_for:
        sizes = export_encoder(args.run, args.folder, args.encoder_for)
    elif args.realism:
        sizes = export_realism(args.run, args.folder)
    elif args.data is None:
        parser.error("--data is needed to tell the rates of the rungs")
    else:
        pictures = held_out_crops(PhotoCorpus(args.data, args.cache or args.run / "cache"))
        sizes = export(args.run, args.folder, pictures, halves=args.halves)
    for name, size in sizes.items():
        print(f"{name}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
