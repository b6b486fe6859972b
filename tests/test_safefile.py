"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from streamcodec.safefile import replacing


def test_new_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "new") as part:
        part.write_bytes(b"all of it")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new").read_bytes() == b"all of it"
    assert os.listdir(tmp_path) == ["new"]


def test_new_file_has_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_old_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "old"
    target.write_bytes(b"old and longer")
    target.chmod(0o640)
    with replacing(target) as part:
        part.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "old"
    target.write_bytes(b"old")

    def write_half() -> None:
        with replacing(target) as part:
            part.write_bytes(b"half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old"]


def test_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link) as part:
        part.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("no/such/folder", FileNotFoundError, "no such folder"),
        ("folder", IsADirectoryError, "over a folder"),
        ("pipe", OSError, "regular file"),
    ],
)
def test_impossible_targets_are_refused(
    tmp_path: Path, name: str, error: type[OSError], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(error, match=message), replacing(tmp_path / name):
        pass
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_write_protected_target_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "protected"
    target.write_bytes(b"precious")
    # Not by mode bits: they do not bind the superuser, under whom tests may run.
    monkeypatch.setattr(os, "access", lambda path, mode: path != target.resolve())
    with pytest.raises(PermissionError, match="not allowed"), replacing(target):
        pass
    assert target.read_bytes() == b"precious"
