"""``streamcodec encode``: a recording becomes a stream."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

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
    whole_number,
)

if TYPE_CHECKING:
    from streamcodec.files import EncodeReport

    from .plugins import Commands


def add_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "encode",
        help="encode a recording",
        description="Encode a recording in any common format, rate and channel count.",
    )
    parser.add_argument("input", metavar="IN", help="recording to read ('-': standard input)")
    parser.add_argument("output", metavar="OUT", help="stream to write ('-': standard output)")
    parser.add_argument(
        "--bitrate", type=whole_number(1, 10**6), default=2000, metavar="BPS",
        help="average payload aimed at, bit/s (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--complexity", type=whole_number(0, 10), default=6, metavar="0-10",
        help="how long the encoder searches; 0 does not search (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--quantizer", choices=("admm", "uniform"), default="admm",
        help="how latents become integers (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--low-delay", action="store_true", help="packets of 40 ms instead of 80 ms"
    )
    parser.add_argument("--model", help="name or folder of a model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Encode."""
    refuse_mixed_output(options)
    quiet_torch()
    from streamcodec.files import encode_file

    with (
        named_input(options.input) as source,
        named_output(options.output, ".sc") as target,
        progress("encoding") as update,
    ):
        report = encode_file(
            source,
            target,
            bitrate=options.bitrate,
            complexity=options.complexity,
            quantizer=options.quantizer,
            low_delay=options.low_delay,
            model=options.model,
            progress=update,
        )
    if options.json:
        print_json(asdict(report))
    elif options.output != "-":
        _print(options.output, report)
    return 0


def _print(name: str, report: EncodeReport) -> None:
    print_table(
        {
            "written": f"{name} ({report.file_bytes:,} bytes)",
            "length": f"{duration(report.seconds)}, {report.packets} packets",
            "payload": f"{report.kbps:.3f} kbit/s ({report.payload_bits:,} bits)",
            "on the wire": f"{report.wire_kbps:.3f} kbit/s with packet headers",
            "delay": f"{report.algorithmic_delay_ms:g} ms",
            "real-time factor": speed(report.real_time_factor),
            "model": report.model,
        }
    )
