"""Microphone to speaker through the codec, live: ``streamcodec loopback``.

``engine`` and what it is made of (``codec``, ``resample``, ``drift``, ``loss``) take blocks in and
give blocks out; they know no device, thread or terminal. ``ring`` carries samples between the
sound card's callbacks and the codec's thread; ``session``, ``devices``, ``view`` and ``keyboard``
are the shells.
"""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = _SubParsersAction[ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add ``streamcodec loopback``; what it needs is imported when it runs."""
    from .command import add_command

    add_command(commands)
