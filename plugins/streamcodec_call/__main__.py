"""``python -m streamcodec_call call serve|join``: the plugin's commands by themselves."""

from __future__ import annotations

import argparse
import sys

import streamcodec

from . import add_commands


def main() -> int:
    """Run a command; gives the exit status."""
    parser = argparse.ArgumentParser(prog="streamcodec_call")
    add_commands(parser.add_subparsers(metavar="COMMAND", required=True))
    options = parser.parse_args()
    try:
        return int(options.run(options))
    except streamcodec.errors.StreamcodecError as error:
        print(f"streamcodec_call: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
