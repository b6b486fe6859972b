"""Subcommands from other packages.

A package adds commands with an entry point in the group ``streamcodec.plugins``. The entry point
names an object (a module will do) with a function ``add_commands(commands)``; `commands` is what
:meth:`argparse.ArgumentParser.add_subparsers` returns, and every parser added to it sets ``run``
to a function that takes the parsed options and returns an exit status::

    def add_commands(commands):
        parser = commands.add_parser("loopback", help="hear yourself through the codec")
        parser.set_defaults(run=loopback)
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, _SubParsersAction
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

GROUP = "streamcodec.plugins"
"""Group of entry points in which plugins are found."""

if TYPE_CHECKING:
    Commands = _SubParsersAction[ArgumentParser]


def add_plugin_commands(commands: Commands) -> None:
    """Ask every installed plugin for its commands.

    A plugin that fails to load is reported on standard error and left out, so that a broken one
    does not take the command down with it.
    """
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            add = getattr(point.load(), "add_commands", None)
            if add is not None:
                add(commands)
        except Exception as error:
            print(
                f"streamcodec: warning: plugin {point.name} ({point.value}) does not load: "
                f"{type(error).__name__}: {error}",
                file=sys.stderr,
            )
