"""Voice calls over websockets at about 2 kbit/s: a relay, a native client, a web page.

``protocol``, ``room``, ``jitter``, ``silence`` and ``mixer`` hold the logic and touch neither
socket, clock nor device; ``server``, ``client`` and ``media`` are the shells around them.
``docs/call-protocol.md`` describes what travels.
"""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = _SubParsersAction[ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add ``streamcodec call``; what its commands need is imported when they run."""
    from .command import add_command

    add_command(commands)
