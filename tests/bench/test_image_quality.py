import json

import pytest
from PIL import Image

from bench.image_own import StreamcodecImage
from bench.image_peers import all_image_peers
from bench.image_quality import _parser, choose_codecs, main
from tests.bench.pictures import make_scene


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(2):
        Image.fromarray(make_scene(176, 192, seed=index)).save(pictures / f"{index}.png")
    return pictures


def test_tables_curves_and_json(folder, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(folder), "--codecs", "jpeg,webp", "--rates", "1.0,2.0", "--anchor", "jpeg"]
    arguments += ["--cache", str(tmp_path / "cache"), "--json", str(out / "all.json")]
    arguments += ["--table", str(out / "all.md"), "--plot", str(out / "all.png")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert (out / "all.md").read_text() in printed
    assert "### Each picture set to 2 bit/pixel" in printed
    assert "### BD-rate against jpeg, %" in printed
    assert (out / "all.png").stat().st_size > 10_000
    document = json.loads((out / "all.json").read_text())
    assert [entry["bpp"] for entry in document["rates"]] == [1.0, 2.0]
    assert len(document["results"]) == 8
    assert document["bd_rate"]["jpeg"]["psnr_rgb"] == 0.0
    for entry in document["rates"]:
        for row in entry["rows"]:
            assert 0.9 * entry["bpp"] < row["estimates"]["bpp"]["value"] <= entry["bpp"]

    # The cache holds everything: the same table again, to the time it took.
    assert main(arguments) == 0
    assert capsys.readouterr().out == printed


def test_ours_in_all_asked_variants(monkeypatch):
    monkeypatch.setattr(StreamcodecImage, "available", lambda self: None)
    arguments = ["folder", "--codecs", "streamcodec", "--complexity", "0,6"]
    arguments += ["--quantizer", "admm,uniform"]
    codecs, missing = choose_codecs(_parser().parse_args(arguments))
    # At complexity 0 nothing is searched, so one row stands for both quantizers.
    assert [codec.name.removeprefix("streamcodec:") for codec in codecs] == [
        "admm:c0",
        "admm:c6",
        "uniform:c6",
    ]
    assert missing == {}


def test_ours_is_named_as_missing_only_if_asked_for(monkeypatch):
    monkeypatch.setattr(StreamcodecImage, "available", lambda self: "no model")
    names = [codec.name for codec in all_image_peers().values()]
    for codecs, expected in (("streamcodec", True), ("all", False)):
        able, missing = choose_codecs(_parser().parse_args(["folder", "--codecs", codecs]))
        assert ("streamcodec:annealed:c6" in missing) is expected
        assert {codec.name for codec in able} <= set(names)


def test_what_cannot_be_reached_is_said(folder, capsys):
    assert main([str(folder), "--codecs", "jpeg", "--rates", "0.05"]) == 0
    assert "jpeg: its smallest file exceeds 0.05 bpp on 2 pictures." in capsys.readouterr().out


def test_missing_codecs_are_named(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(folder), "--codecs", "jpeg,bpg", "--rates", "1.0"]) == 0
    assert "bpg: not available: bpgenc and bpgdec not on the path" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--codecs", "png"], "unknown codec 'png'"), (["--limit", "0"], "at least 1")],
)
def test_wrong_options_are_refused(folder, capsys, arguments, message):
    assert main([str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_folder_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no pictures" in capsys.readouterr().err
