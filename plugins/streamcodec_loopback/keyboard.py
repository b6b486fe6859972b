"""Single keys from a terminal, without waiting for Enter."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

UP, DOWN = "up", "down"

_SEQUENCES = {"\x1b[A": UP, "\x1b[B": DOWN, "\x1bOA": UP, "\x1bOB": DOWN}
"""What terminals send for the arrow keys, in normal and in application mode."""


def parse_keys(text: str) -> list[str]:
    """Split what a terminal sent into keys: characters, ``UP`` and ``DOWN``.

    Escape sequences of other keys are left out.
    """
    keys = []
    while text:
        sequence = next((s for s in _SEQUENCES if text.startswith(s)), None)
        if sequence is not None:
            keys.append(_SEQUENCES[sequence])
            text = text[len(sequence) :]
        elif text[0] == "\x1b":
            end = next((i for i, c in enumerate(text[2:], 3) if "@" <= c <= "~"), len(text))
            text = text[end:] if text[1:2] in ("[", "O") else text[1:]
        else:
            keys.append(text[0])
            text = text[1:]
    return keys


class Keyboard:
    """Keys pressed on standard input; none where that is no terminal."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def listening(self) -> bool:
        """Whether there is a terminal."""
        return self._descriptor is not None

    def wait(self, seconds: float) -> list[str]:
        """Keys that come within ``seconds``; returns at the first."""
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return []
        data = os.read(self._descriptor, 64)
        if not data:  # the terminal has been closed: it would be ready for ever
            self._descriptor = None
        return parse_keys(data.decode(errors="ignore"))


@contextmanager
def open_keyboard() -> Iterator[Keyboard]:
    """Listen to single keys; the terminal is as it was afterwards."""
    try:
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        if not sys.stdin.isatty():
            raise OSError("no terminal")
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, AttributeError):  # Windows, a pipe, or nothing
        yield Keyboard(None)
        return
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
