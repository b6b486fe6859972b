"""``streamcodec info``: what a stream file says about itself."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from .console import duration, named_input, print_json, print_table

if TYPE_CHECKING:
    from streamcodec.streamfile import StreamFile

    from .plugins import Commands


def add_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="tell what a stream file holds",
        description="Tell what a stream file holds; nothing is decoded, every byte is checked.",
    )
    parser.add_argument("input", metavar="FILE", help="stream to read ('-': standard input)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Tell."""
    from streamcodec.streamfile import open_stream

    with named_input(options.input) as source, open_stream(source) as stream:
        facts = collect(stream)
    if options.json:
        print_json(facts)
        return 0
    print_table(
        {
            "file": f"{options.input} ({facts['file_bytes']:,} bytes)",
            "kind": f"{facts['kind']}, bitstream version {facts['version']}",
            "model": facts["model_identity"],
            "length": f"{duration(facts['seconds'])}, {facts['packets']} packets of "
            f"{facts['packet_ms']:g} ms",
            "payload": f"{facts['kbps']:.3f} kbit/s ({facts['payload_bits']:,} bits)",
            "seek points": f"{facts['seek_points']}, a refresh every {facts['refresh']} packets",
        }
        | {f"made: {name}": str(value) for name, value in facts["metadata"].items()}
    )
    return 0


def collect(stream: StreamFile) -> dict[str, Any]:
    """Gather what is known of a stream file, as JSON can hold it.

    Raises
    ------
    FormatError
        The file is damaged.
    """
    from streamcodec.core.packet import BITSTREAM_VERSION, KIND_SPEECH, parse_packet
    from streamcodec.speech.geometry import SAMPLE_RATE, STEP_SAMPLES

    payload_bits = packets = 0
    for record in stream.records():
        payload_bits += parse_packet(record).bits
        packets += 1
    seconds = stream.seconds or 0.0
    header = stream.header
    return {
        "kind": "speech" if header.kind == KIND_SPEECH else "image",
        "version": BITSTREAM_VERSION,
        "model_identity": header.identity.hex(),
        "seconds": seconds,
        "packets": packets,
        "packet_ms": 1000 * header.steps_per_packet * STEP_SAMPLES / SAMPLE_RATE,
        "payload_bits": payload_bits,
        "kbps": payload_bits / seconds / 1000 if seconds else 0.0,
        "file_bytes": stream.size,
        "seek_points": len(stream.trailer.seek_points) if stream.trailer else 0,
        "refresh": header.refresh,
        "metadata": stream.metadata,
    }
