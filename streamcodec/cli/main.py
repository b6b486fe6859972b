"""Entry point of the command: parser, dispatch, and what the user sees when something is wrong."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType, ModuleType
from typing import Any, NoReturn

from streamcodec import __version__
from streamcodec.errors import StreamcodecError

from . import decode, encode, image, info, inspect, play
from .plugins import add_plugin_commands

COMMANDS: dict[str, ModuleType] = {
    "encode": encode,
    "decode": decode,
    "info": info,
    "play": play,
    "inspect": inspect,
    "image": image,
}
"""Modules with ``add_command(commands)``; what they need is imported when they run."""

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if omitted.

    Returns
    -------
    int
        Exit status: 0, 1 after an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = build_parser(arguments).parse_args(arguments)
        before = _unwind_on_terminate()
        try:
            return int(options.run(options) or 0)
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except (StreamcodecError, OSError, MemoryError) as error:
        print(f"streamcodec: error: {describe(error)}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser; plugins are asked for their commands only where `arguments` need them."""
    parser = argparse.ArgumentParser(
        prog="streamcodec",
        description="Speech in about 2 kbit/s, and pictures: encode, decode and look at streams.",
        epilog="'streamcodec COMMAND --help' tells what a command takes.",
    )
    parser.add_argument("--version", action="version", version=f"streamcodec {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS.values():
        module.add_command(commands)
    if not arguments or arguments[0] not in COMMANDS:
        add_plugin_commands(commands)
    return parser


def describe(error: BaseException) -> str:
    """Say in one line what is wrong."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror[0].lower() + error.strerror[1:]
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    return " ".join(str(error).split()) or type(error).__name__


def _unwind_on_terminate() -> Any:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that no half-written file stays behind."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: signals are its owner's business
        return None


if __name__ == "__main__":
    sys.exit(main())
