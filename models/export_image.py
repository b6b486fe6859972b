"""Turn a training run into the weight files of an image model.

python -m streamcodec_models.export_image RUN models/weights/NAME
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .export import half, write_parts
from .export_prior import integer_prior
from .image import held_out_crops, held_out_figures
from .image_model import PEAK, load_config, load_model
from .photos import PhotoCorpus


def export(run: Path, folder: Path, pictures: torch.Tensor) -> dict[str, int]:
    """Write the files of a model; returns their sizes in bytes.

    ``pictures`` ``(n, 3, side, side)``, not trained on, tell the nominal rates of the rungs.
    """
    if not (run / "model.pt").exists():
        raise FileNotFoundError(f"{run} holds no finished run (model.pt)")
    model = load_model(run, load_config(run)).eval()
    c = model.config
    tensors, prior_config = integer_prior(model.prior)
    figures = held_out_figures(model, pictures)
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
    decoder = half(model.generator.state_dict(), "generator.")
    decoder |= {f"integer_prior.{k}": torch.from_numpy(v) for k, v in tensors.items()}
    decoder["gains"] = model.log_gain.detach().exp()
    encoder = half(model.encoder.state_dict(), "encoder.")
    encoder |= half(dict(model.prior.named_parameters()), "prior.")
    return write_parts(folder, {"decoder": (decoder, config), "encoder": (encoder, {})})


def main() -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description="export an image training run as model files")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--cache", type=Path, help="decoded pictures (default: RUN/cache)")
    args = parser.parse_args()
    pictures = held_out_crops(PhotoCorpus(args.data, args.cache or args.run / "cache"))
    for name, size in export(args.run, args.folder, pictures).items():
        print(f"{name}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
