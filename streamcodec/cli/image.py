"""``streamcodec image``: pictures become image files, and back."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .console import (
    PIPE,
    named_input,
    named_output,
    print_json,
    print_table,
    progress,
    refuse_mixed_output,
    whole_number,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .plugins import Commands

Update = Callable[[float, float | None], None]

MEGAPIXELS = "Mpixel"


def add_command(commands: Commands) -> None:
    """Add the commands to the parser."""
    parser = commands.add_parser(
        "image",
        help="encode and decode pictures",
        description="Encode and decode pictures, one or folders of them.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_encode(actions)
    _add_decode(actions)
    info = actions.add_parser("info", help="tell what an image file holds")
    info.add_argument("input", metavar="FILE", help="image file ('-': standard input)")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.set_defaults(run=run_info)


def _add_encode(actions: Commands) -> None:
    parser = actions.add_parser(
        "encode",
        help="encode a picture or a folder of pictures",
        description="Encode a picture. If IN is a folder, every picture in it goes to OUT, a "
        "folder of the same shape; interrupted, the same command goes on where it was.",
    )
    parser.add_argument("input", metavar="IN", help="picture or folder ('-': standard input)")
    parser.add_argument("output", metavar="OUT", help="image file or folder ('-': standard output)")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--bpp", type=_number(0.0), metavar="BITS",
        help="bits a pixel that the file comes to, or a little less",
    )  # fmt: skip
    rate.add_argument(
        "--quality", type=_number(0.0, 100.0), metavar="0-100",
        help="quality in place of a rate (default 50)",
    )  # fmt: skip
    parser.add_argument(
        "--complexity", type=whole_number(0, 10), default=6, metavar="0-10",
        help="how long the encoder searches; 0 does not search (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--quantizer", choices=("annealed", "admm", "uniform"), default="annealed",
        help="how latents become integers (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--distortion", choices=("mse", "luma", "ms-ssim"),
        help="what the search calls close: squared error over RGB, with luma favoured, or MS-SSIM "
        "(default: what the model was made for)",
    )  # fmt: skip
    _add_common(parser)
    parser.set_defaults(run=run_encode)


def _add_decode(actions: Commands) -> None:
    parser = actions.add_parser(
        "decode",
        help="decode an image file or a folder of them",
        description="Decode an image file to a picture: png, jpg, tif, ... by the suffix of OUT. "
        "If IN is a folder, every image file in it goes to OUT as png.",
    )
    parser.add_argument("input", metavar="IN", help="image file or folder ('-': standard input)")
    parser.add_argument(
        "output", metavar="OUT", help="picture or folder ('-': png, standard output)"
    )
    parser.add_argument(
        "--region", type=_region, metavar="X,Y,W,H", help="decode these pixels only"
    )
    parser.add_argument(
        "--recover", action="store_true",
        help="decode what is left of a damaged file; lost tiles come out flat",
    )  # fmt: skip
    parser.add_argument(
        "--realism", type=_number(0.0, 1.0), default=0.0, metavar="0-1",
        help="0: nearest to the original (default); 1: details that look real, farther from it",
    )  # fmt: skip
    parser.add_argument(
        "--max-pixels", type=whole_number(1, 1 << 62), default=None, metavar="N",
        help="refuse larger pictures (default: 268 million)",
    )  # fmt: skip
    _add_common(parser)
    parser.set_defaults(run=run_decode)


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument("--model", help="name or folder of a model")
    parser.add_argument(
        "--jobs", type=whole_number(1, 4096), metavar="N",
        help="files of a folder, or threads of a single one, at a time (default: all cores)",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="run a folder on this Dask cluster; its workers must see the same folders",
    )  # fmt: skip
    parser.add_argument(
        "--again", action="store_true", help="make files of a folder anew that are there already"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_encode(options: Namespace) -> int:
    """Encode."""
    settings = {
        "bpp": options.bpp,
        "quality": options.quality,
        "complexity": options.complexity,
        "quantizer": options.quantizer,
        "distortion": options.distortion,
        "model": options.model,
    }
    if options.input != PIPE and Path(options.input).is_dir():
        from .imagebatch import encode_folder

        return encode_folder(options, settings)
    _single(options)
    from streamcodec.imagefiles import SUFFIX, encode_image_file

    with (
        named_input(options.input) as source,
        named_output(options.output, SUFFIX) as target,
        progress("encoding", MEGAPIXELS) as update,
    ):
        report = encode_image_file(source, target, progress=_in_megapixels(update), **settings)
    if options.json:
        print_json(asdict(report))
    elif options.output != PIPE:
        print_table(
            {
                "written": f"{options.output} ({report.bytes:,} bytes)",
                "picture": f"{report.width} x {report.height} pixels, {report.tiles} tiles",
                "rate": f"{report.bpp:.4f} bits a pixel",
                "time": f"{report.seconds:.2f} s",
                "model": report.model,
            }
        )
    return 0


def run_decode(options: Namespace) -> int:
    """Decode."""
    from streamcodec.image.decoder import MAX_PIXELS

    settings = {
        "region": options.region,
        "recover": options.recover,
        "max_pixels": options.max_pixels or MAX_PIXELS,
        "model": options.model,
        "realism": options.realism,
    }
    if options.input != PIPE and Path(options.input).is_dir():
        from .imagebatch import decode_folder

        return decode_folder(options, settings)
    _single(options)
    from streamcodec.imagefiles import decode_image_file

    with (
        named_input(options.input) as source,
        named_output(options.output, ".png") as target,
        progress("decoding", MEGAPIXELS) as update,
    ):
        report = decode_image_file(source, target, progress=_in_megapixels(update), **settings)
    if options.json:
        print_json(asdict(report))
    elif options.output != PIPE:
        rows = {
            "written": options.output,
            "picture": f"{report.width} x {report.height} pixels",
            "time": f"{report.seconds:.2f} s",
        }
        if report.lost_tiles:
            rows["lost"] = f"{report.lost_tiles} of {report.tiles} tiles"
        print_table(rows)
    return 0


def run_info(options: Namespace) -> int:
    """Tell what an image file holds; no symbol is decoded, every byte is checked."""
    from streamcodec.image.layout import parse_image

    with named_input(options.input) as source:
        parts = parse_image(source.read_bytes())
    picture = parts.picture
    facts = {
        "kind": "image",
        "model_identity": parts.stream.identity.hex(),
        "width": picture.width,
        "height": picture.height,
        "colour": picture.colour,
        "alpha": picture.alpha,
        "bits_per_sample": 16 if picture.deep else 8,
        "tiles": len(parts.grid),
        "bytes": parts.size,
        "bpp": parts.bpp,
        "lossless_bytes": parts.lossless_bytes,
        "icc_profile_bytes": len(parts.icc_profile),
        "exif_bytes": len(parts.exif),
    }
    if options.json:
        print_json(facts)
        return 0
    kind = ("RGB" if picture.colour else "grey") + (" and alpha" if picture.alpha else "")
    print_table(
        {
            "file": f"{options.input} ({parts.size:,} bytes)",
            "picture": f"{picture.width} x {picture.height} pixels, {kind}, "
            f"{facts['bits_per_sample']} bit",
            "rate": f"{parts.bpp:.4f} bits a pixel, {len(parts.grid)} tiles",
            "kept": f"ICC profile of {len(parts.icc_profile)}, EXIF of {len(parts.exif)} bytes",
            "model": str(facts["model_identity"]),
        }
    )
    return 0


def _single(options: Namespace) -> None:
    """Prepare for a single file: all threads for it."""
    refuse_mixed_output(options)
    import torch

    from .imagebatch import cores

    torch.set_num_threads(options.jobs or cores())


def _in_megapixels(update: Update) -> Update:
    def tell(done: float, total: float | None) -> None:
        update(done / 1e6, None if total is None else total / 1e6)

    return tell


def _region(text: str) -> tuple[int, int, int, int]:
    """Argparse type: ``x,y,w,h`` to ``(x0, y0, x1, y1)``."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"expected four whole numbers X,Y,W,H, not {text!r}") from error
    return x, y, x + width, y + height


def _number(lowest: float, highest: float | None = None) -> Callable[[str], float]:
    """Make an argparse type: a number in a range."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if (
            not value >= lowest
            or (highest is not None and value > highest)
            or value == float("inf")
        ):
            raise ArgumentTypeError(f"expected a number of at least {lowest:g}, not {text!r}")
        return value

    return parse
