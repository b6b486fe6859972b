"""Keys, from a real terminal where one is needed."""

from __future__ import annotations

import os
import pty
import sys
import termios

import pytest
from streamcodec_loopback.keyboard import DOWN, UP, open_keyboard, parse_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("b", ["b"]),
        ("\x1b[A\x1b[B", [UP, DOWN]),
        ("\x1bOA+-", [UP, "+", "-"]),
        ("\x1b[Cq", ["q"]),
        ("\x1b[15~l", ["l"]),
        ("\x1b", []),
        ("\x1b[", []),
        ("", []),
    ],
)
def test_what_a_terminal_sends_is_understood(text, keys):
    assert parse_keys(text) == keys


def test_a_terminal_gives_keys_at_once_and_is_left_as_it_was(monkeypatch):
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(slave)
        with open_keyboard() as keyboard:
            assert keyboard.listening
            assert keyboard.wait(0.0) == []
            os.write(master, b"b\x1b[A")
            assert keyboard.wait(5.0) == ["b", UP]
        assert termios.tcgetattr(slave) == before
    os.close(master)


def test_a_pipe_has_no_keys(monkeypatch):
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing, "w"):
        monkeypatch.setattr(sys, "stdin", pipe)
        with open_keyboard() as keyboard:
            assert not keyboard.listening
            assert keyboard.wait(0.01) == []
