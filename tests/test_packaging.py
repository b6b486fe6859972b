"""What pyproject.toml says about the tree is true."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_of_the_library_is_listed() -> None:
    found = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for init in (ROOT / "streamcodec").rglob("__init__.py")
    }
    listed = {p for p in PROJECT["tool"]["setuptools"]["packages"] if p.startswith("streamcodec.")}
    assert found == listed | {"streamcodec"}


def test_every_plugin_is_listed() -> None:
    found = {init.parent.name for init in (ROOT / "plugins").glob("*/*/__init__.py")}
    found |= {init.parent.name for init in (ROOT / "plugins").glob("*/__init__.py")}
    assert found <= set(PROJECT["tool"]["setuptools"]["packages"])


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[<>=!~ \[]", requirement)[0].lower() for requirement in wanted}
    assert names <= pinned
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line[:1].isalnum())


def test_bundled_clips_are_attributed() -> None:
    clips = ROOT / "examples" / "clips"
    text = (clips / "ATTRIBUTION.md").read_text()
    assert all(clip.name in text for clip in clips.glob("*.flac"))
