"""How real decoded pictures look, beside how near they are: where the two part company.

    python -m bench.image_realism FOLDER --rate 0.286 --realism 0,0.5,1 --fit nearest

* ``KID``, kernel inception distance (Binkowski et al., *Demystifying MMD GANs*, ICLR 2018), times
  1000: how far the decoded patches as a set are from the original ones as a set, to a network that
  never saw either; lower is better. As in HiFiC (Mentzer et al., NeurIPS 2020) patches of 256
  pixels stand for pictures, here half overlapping; the network is EfficientNet-Lite0, whose
  weights come in a package, so values do not compare with those of the Inception network.
* SSIMULACRA2 (Sneyers, 2022), of each picture against its original: 30 is low, 50 medium, 70 high
  quality; higher is better.
* PSNR and MS-SSIM as in ``bench.image_quality``.

Nothing here was trained on by any codec of ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.cache import ResultCache
from bench.image_classifier import ORIGINAL, SAMPLE_MEAN, SAMPLE_SCALE, Classifier
from bench.image_codec import ImageCodec
from bench.image_measure import ImageBench, PictureResult
from bench.image_metrics import Fidelity
from bench.image_quality import add_codec_options, choose_codecs
from bench.image_report import publish
from bench.image_strips import draw_strips, middle
from bench.image_table import BPP
from bench.metrics import Values
from bench.pictures import Picture, Pixels, load_pictures
from bench.runs import failures, one_thread
from bench.table import Column

DEFAULT_RATE = 0.286
PATCH, STEP = 256, 128
"""Sides of the patches and distance between them, pixels."""

SHOWN = 3
"""Pictures that are drawn unless they are named."""

LIKENESS_MODULE = "ssimulacra2"

COLUMNS = (
    BPP,
    Column("kid", "KID x1000", 2, "kid", scale=1000.0, interval=False),
    Column("ssimulacra2", "SSIMULACRA2", 1, "ssimulacra2"),
    Column("psnr_rgb", "PSNR RGB", 2, "psnr_rgb", interval=False),
    Column("ms_ssim_rgb", "MS-SSIM RGB", 4, "ms_ssim_rgb", interval=False),
)

Features = NDArray[np.float64]
"""``(patches, features)``"""


class Realism:
    """Per-picture values as a score of the image bench; keeps what the network sees as it goes.

    Attributes
    ----------
    original, decoded : list of ndarray
        Features of the patches of each picture.
    crops : dict
        Middles of the original and of the decoded picture, by the picture's name.
    """

    key = "realism-1"

    def __init__(self) -> None:
        self._network: Any = Classifier().network
        self._fidelity = Fidelity()
        self.original: list[Features] = []
        self.decoded: list[Features] = []
        self.crops: dict[str, tuple[Pixels, Pixels]] = {}

    @staticmethod
    def available() -> str | None:
        """Which package is missing, or ``None``."""
        if importlib.util.find_spec(LIKENESS_MODULE) is None:
            return f"no Python package {LIKENESS_MODULE}: pip install -r bench/requirements.txt"
        return Classifier.available()

    def __call__(self, name: str, original: Pixels, decoded: Pixels) -> Values:
        """Score one decoded picture, and keep its features."""
        self.original.append(self.features(original))
        self.decoded.append(self.features(decoded))
        # Copies: whole pictures are not to be kept for their middles.
        self.crops[name] = middle(original, PATCH).copy(), middle(decoded, PATCH).copy()
        values = self._fidelity(name, original, decoded)
        values["ssimulacra2"] = likeness(original, decoded)
        return values

    def features(self, pixels: Pixels) -> Features:
        """What the network makes of each patch before it names classes."""
        patches = patches_of(pixels).astype(np.float32)
        shown = torch.from_numpy((patches - SAMPLE_MEAN) / SAMPLE_SCALE).permute(0, 3, 1, 2)
        with torch.inference_mode():
            maps = self._network.extract_features(shown)
        means: Features = maps.mean(dim=(2, 3)).double().numpy()
        return means

    def distance(self) -> float:
        """Kernel distance between all original and all decoded patches so far."""
        if not self.original:
            return math.nan
        return kernel_distance(np.concatenate(self.original), np.concatenate(self.decoded))


def patches_of(pixels: Pixels) -> Pixels:
    """Half-overlapping patches ``(n, PATCH, PATCH, 3)`` of a picture ``(h, w, 3)``.

    Raises
    ------
    ValueError
        A side is shorter than a patch.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < PATCH:
        raise ValueError(f"expected sides of {PATCH} pixels at least, found {width} × {height}")
    return np.stack(
        [
            pixels[y : y + PATCH, x : x + PATCH]
            for y in range(0, height - PATCH + 1, STEP)
            for x in range(0, width - PATCH + 1, STEP)
        ]
    )


def kernel_distance(a: Features, b: Features) -> float:
    """Unbiased squared maximum mean discrepancy of two sets of features.

    The kernel is ``(x . y / features + 1) ** 3`` (Binkowski et al., section 4). Can be below zero
    where the sets do not differ.
    """

    def kernel(x: Features, y: Features) -> NDArray[np.float64]:
        product: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1.0) ** 3
        return product

    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))
    ]
    return float(within[0] + within[1] - 2.0 * kernel(a, b).mean())


def likeness(original: Pixels, decoded: Pixels) -> float:
    """SSIMULACRA2 of a decoded picture."""
    from ssimulacra2 import compute_ssimulacra2

    files = []
    for pixels in (original, decoded):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        file.seek(0)
        files.append(file)
    return float(compute_ssimulacra2(*files))


def measure(
    pictures: Sequence[Picture], codecs: Sequence[ImageCodec], options: argparse.Namespace
) -> list[PictureResult]:
    """Every picture through every codec; the set's distance stands with each of its pictures."""
    results = []
    columns: dict[str, list[Pixels]] = {}
    for codec in codecs:
        score = Realism()
        bench = ImageBench(pictures, [options.rate], options.fit, score, ResultCache(None))
        found = bench.run([codec])
        distance = score.distance()
        for result in found:
            if not result.failed:
                result.values["kid"] = distance
        results += found
        if options.picture:
            shown = options.show or [p.name for p in pictures[:SHOWN]]
            if all(name in score.crops for name in shown):  # none of them has failed
                columns.setdefault(ORIGINAL, [score.crops[name][0] for name in shown])
                columns[codec.name] = [score.crops[name][1] for name in shown]
    if columns:
        draw_strips(columns, options.picture)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if reason := Realism.available():
            raise ValueError(reason)
        if options.cache:
            raise ValueError("--cache: what the network sees is not kept between runs")
        codecs, missing = choose_codecs(options)
        pictures = load_pictures(options.folder, options.limit)
        if strange := set(options.show or ()) - {p.name for p in pictures}:
            raise ValueError(f"--show: no pictures {', '.join(sorted(strange))} in the folder")
    except (ValueError, OSError) as error:
        print(f"image_realism: {error}", file=sys.stderr)
        return 2
    results = measure(pictures, codecs, options)
    notes = [f"{len(pictures)} pictures. ±: half the 95 % bootstrap interval over pictures."]
    publish(options, results, COLUMNS, notes + failures(results, missing, "pictures"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.image_realism", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="pictures, for instance the Kodak suite")
    parser.add_argument(
        "--rate", type=float, default=DEFAULT_RATE, help=f"bits a pixel (default {DEFAULT_RATE})"
    )
    parser.add_argument("--picture", type=Path, help="draw middles of some pictures into a PNG")
    parser.add_argument("--show", nargs="+", help=f"names of those (default: the first {SHOWN})")
    add_codec_options(parser)
    return parser


if __name__ == "__main__":
    one_thread()
    sys.exit(main())
