"""``streamcodec inspect``: a picture of a stream."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from streamcodec.safefile import replacing

from .console import named_input, quiet_torch
from .decode import add_decoder_options

if TYPE_CHECKING:
    from .plugins import Commands

DEFAULT_SECONDS = 20.0
"""Longer stretches are hard to read across one picture."""


def add_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "inspect",
        help="draw a stream",
        description="Draw the mel-spectrograms of the decoded (and original) sound, the latent "
        "symbols and where the bits went.",
    )
    parser.add_argument("input", metavar="FILE", help="stream to draw ('-': standard input)")
    parser.add_argument(
        "-o", "--output", required=True, metavar="PICTURE", help="picture: .png, .pdf or .svg"
    )
    parser.add_argument("--original", metavar="WAV", help="recording that was encoded")
    parser.add_argument(
        "--seconds", type=_positive, default=DEFAULT_SECONDS,
        help="how much to draw, from the beginning (default %(default)g)",
    )  # fmt: skip
    add_decoder_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Draw."""
    from . import picture

    output = Path(options.output)
    picture.require_format(output)
    quiet_torch()
    from streamcodec.inspection import view_stream

    original = None if options.original is None else Path(options.original)
    with replacing(output) as part, named_input(options.input) as source:
        view = view_stream(
            source,
            original=original,
            seconds=options.seconds,
            vocoder=options.vocoder,
            recover=options.recover,
            model=options.model,
        )
        picture.draw(view, part, output.suffix.lower())
    print(f"drawn: {output}")
    return 0


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ArgumentTypeError(f"expected seconds above 0, not {text!r}")
    return seconds
