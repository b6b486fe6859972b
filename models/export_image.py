"""Turn a training run into the weight files of an image model.

    python -m streamcodec_models.export_image RUN models/weights/NAME --data FOLDER

A run of the loss ``perceptual`` began from a model and changed its drawing layers alone; those
become a file more in that model's folder:

    python -m streamcodec_models.export_image RUN models/weights/NAME --realism
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from streamcodec.core.model_file import identity_of, read_weights
from streamcodec.image.drawing import FOR_DECODER, GRAIN
from streamcodec.image.model import REALISM_FILE
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
    config, tensors = read_weights(folder / "decoder.safetensors")
    found = load_model(run, load_config(run)).generator.state_dict()
    other = {k: v for k, v in found.items() if k.split(".")[0] not in DRAWING}
    if not all(torch.allclose(v, tensors[f"generator.{k}"].float()) for k, v in other.items()):
        raise ValueError(f"{run} did not begin from {folder}: more than drawing layers differ")
    drawing = {k: v for k, v in found.items() if k not in other}
    described = {FOR_DECODER: identity_of(config, tensors).hex()}
    exported = eight_bit(drawing, "", FULLER)
    if (run / GRAIN_FILE).exists():
        grain = torch.load(run / GRAIN_FILE, map_location="cpu", weights_only=True)
        exported |= half(grain, GRAIN)
    part = {Path(REALISM_FILE).stem: (exported, described)}
    return write_parts(folder, part)


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
    args = parser.parse_args()
    if args.realism:
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
