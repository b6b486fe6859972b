"""``python -m streamcodec_loopback loopback``: the plugin's command by itself."""

from __future__ import annotations

import argparse
import sys

import streamcodec

from . import add_commands


def main() -> int:
    """Run the command; gives the exit status."""
    parser = argparse.ArgumentParser(prog="streamcodec_loopback")
    add_commands(parser.add_subparsers(metavar="COMMAND", required=True))
    options = parser.parse_args()
    try:
        return int(options.run(options))
    except (streamcodec.errors.StreamcodecError, OSError) as error:
        print(f"streamcodec_loopback: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
