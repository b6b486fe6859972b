"""Other packages add commands; a broken one does no harm."""

from __future__ import annotations

import sys
import types
from argparse import Namespace
from importlib.metadata import EntryPoint

import pytest

from streamcodec.cli import plugins
from streamcodec.cli.main import main


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Entry points as if packages were installed: one good, one silent, one broken."""
    good = types.ModuleType("good_plugin")

    def add_commands(commands) -> None:
        parser = commands.add_parser("greet", help="say hello")
        parser.add_argument("name")
        parser.set_defaults(run=greet)

    def greet(options: Namespace) -> int:
        print("hello", options.name)
        return 3

    good.add_commands = add_commands
    monkeypatch.setitem(sys.modules, "good_plugin", good)
    monkeypatch.setitem(sys.modules, "silent_plugin", types.ModuleType("silent_plugin"))
    asked = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(name, f"{name}_plugin", group) for name in ("silent", "good", "broken")]

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    return asked


def test_command_of_a_plugin_runs(installed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet", "you"]) == 3
    assert capsys.readouterr().out == "hello you\n"
    assert installed == ["streamcodec.plugins"]


def test_help_shows_it(installed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "say hello" in capsys.readouterr().out


def test_broken_plugin_is_reported_and_left_out(
    installed, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["greet", "you"])
    assert "warning: plugin broken (broken_plugin) does not load" in capsys.readouterr().err


def test_own_commands_do_not_load_plugins(installed) -> None:
    main(["info", "no-such-file"])
    assert installed == []
