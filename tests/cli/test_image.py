"""The image commands: what they print, what they refuse, and folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from streamcodec.cli.main import EXIT_FAILURE, EXIT_USAGE, main
from tests.image.conftest import photo, tiny_folder

__all__ = ["photo", "tiny_folder"]


@pytest.fixture
def picture(photo: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(photo).save(path)
    return path


def run(*arguments: object) -> int:
    return main(["image", *map(str, arguments)])


def test_json_reports(
    picture: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded, back = tmp_path / "photo.sci", tmp_path / "back.png"
    model = ("--model", tiny_folder, "--jobs", 1)
    assert run("encode", picture, coded, "--bpp", 0.2, "--complexity", 1, "--json", *model) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"bpp", "bytes", "width", "height", "tiles", "seconds"} <= report.keys()
    assert report["bytes"] == coded.stat().st_size
    # Bits that bring an untrained model nothing are not spent.
    assert 0.15 < report["bpp"] <= 0.2
    assert run("decode", coded, back, "--json", *model) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["width"], report["height"]) == (210, 150)
    region = tmp_path / "region.png"
    assert run("decode", coded, region, "--region", "20,30,40,50", *model) == 0
    with Image.open(region) as part, Image.open(back) as whole:
        assert part.size == (40, 50)
        crop = np.asarray(whole.crop((20, 30, 60, 80))).astype(int)
        assert np.abs(np.asarray(part) - crop).max() <= 1
    capsys.readouterr()
    assert run("info", coded, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["tiles"], facts["alpha"]) == (210, 1, False)
    assert run("info", coded) == 0
    assert "210 x 150" in capsys.readouterr().out


def test_tables(
    picture: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coded = tmp_path / "photo.sci"
    model = ("--model", tiny_folder, "--jobs", 1)
    assert run("encode", picture, coded, "--quality", 60, "--complexity", 0, *model) == 0
    assert "bits a pixel" in capsys.readouterr().out
    data = bytearray(coded.read_bytes())
    data[-200] ^= 1
    coded.write_bytes(data)
    assert run("decode", coded, tmp_path / "x.png", *model) == EXIT_FAILURE
    assert "damaged" in capsys.readouterr().err
    assert run("decode", coded, tmp_path / "x.png", "--recover", *model) == 0
    assert "1 of 1 tiles" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["encode", "a"],
        ["encode", "a", "b", "--bpp", "0.3", "--quality", "5"],
        ["encode", "a", "b", "--bpp", "nan"],
        ["encode", "a", "b", "--quality", "101"],
        ["encode", "a", "b", "--complexity", "11"],
        ["encode", "a", "b", "--jobs", "0"],
        ["decode", "a", "b", "--region", "1,2,3"],
        ["decode", "a", "b", "--region", "a,b,c,d"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(*arguments) == EXIT_USAGE


def test_folders_go_on_where_they_were(
    picture: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, coded, back = picture.parent, tmp_path / "coded", tmp_path / "back"
    (source / "deep").mkdir()
    with Image.open(picture) as image:
        image.convert("L").save(source / "deep" / "grey.jpg")
    (source / "broken.png").write_bytes(picture.read_bytes()[:500])
    (source / "notes.txt").write_text("no picture")
    options = ("--model", tiny_folder, "--jobs", 1, "--json")
    encode = ("encode", source, coded, "--complexity", 0, *options)
    assert run(*encode) == EXIT_FAILURE
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert (report["files"], report["kept"], len(report["failed"])) == (2, 0, 1)
    assert "broken.png" in output.err
    found = sorted(str(p.relative_to(coded)) for p in coded.rglob("*.sci"))
    assert found == ["deep/grey.jpg.sci", "photo.png.sci"]
    (source / "broken.png").unlink()
    assert run(*encode) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["kept"]) == (0, 2)
    assert run(*encode, "--quality", 3) == EXIT_FAILURE
    assert "other settings" in capsys.readouterr().err
    assert run(*encode, "--quality", 3, "--again") == 0
    capsys.readouterr()
    assert run("decode", coded, back, *options) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 2
    found = sorted(str(p.relative_to(back)) for p in back.rglob("*.png"))
    assert found == ["deep/grey.jpg.png", "photo.png"]


def test_folders_that_make_no_sense(picture: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("encode", empty, tmp_path / "out") == EXIT_FAILURE
    assert run("encode", picture.parent, picture.parent) == EXIT_FAILURE
    assert run("encode", picture.parent, picture) == EXIT_FAILURE
    assert run("encode", picture, "-", "--json") == EXIT_FAILURE
