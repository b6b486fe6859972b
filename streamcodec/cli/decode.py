"""``streamcodec decode``: a stream becomes a recording."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..speech.vocoders import DEFAULT_VOCODER, VOCODERS
from .console import (
    duration,
    named_input,
    named_output,
    print_json,
    print_table,
    progress,
    quiet_torch,
    refuse_mixed_output,
    speed,
)

if TYPE_CHECKING:
    from .plugins import Commands


def add_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "decode",
        help="decode a stream",
        description="Decode a stream to a recording: wav, flac, ogg or opus by the suffix of OUT.",
    )
    parser.add_argument("input", metavar="IN", help="stream to read ('-': standard input)")
    parser.add_argument(
        "output", metavar="OUT", help="recording to write ('-': wav to standard output)"
    )
    add_decoder_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def add_decoder_options(parser: ArgumentParser) -> None:
    """Add the options that every command with a decoder in it takes."""
    parser.add_argument(
        "--vocoder", choices=VOCODERS, default=DEFAULT_VOCODER,
        help="how the decoded picture becomes sound (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--recover", action="store_true",
        help="decode what is left of a damaged file; gaps are concealed",
    )  # fmt: skip
    parser.add_argument("--model", help="name or folder of a model")


def run(options: Namespace) -> int:
    """Decode."""
    refuse_mixed_output(options)
    quiet_torch()
    from streamcodec.files import decode_file

    with (
        named_input(options.input) as source,
        named_output(options.output, ".wav") as target,
        progress("decoding") as update,
    ):
        report = decode_file(
            source,
            target,
            vocoder=options.vocoder,
            recover=options.recover,
            model=options.model,
            progress=update,
        )
    if options.json:
        print_json(asdict(report))
    elif options.output != "-":
        rows = {
            "written": options.output,
            "length": f"{duration(report.seconds)} at {report.sample_rate} Hz",
            "vocoder": report.vocoder,
            "real-time factor": speed(report.real_time_factor),
        }
        if report.concealed_packets:
            rows["concealed"] = f"{report.concealed_packets} of {report.packets} packets"
        print_table(rows)
    return 0
