import json

import numpy as np
import pytest
import torch
from PIL import Image

from bench import image_classifier
from bench.image_classifier import (
    Classifier,
    add_errors,
    answers_on_originals,
    columns,
    labels_in_names,
    main,
    network_input,
    read_labels,
)
from bench.image_measure import PictureResult
from bench.pictures import Picture
from tests.bench.pictures import make_scene


def result(codec, picture, *guesses):
    values = {f"guess{place}": float(guess) for place, guess in enumerate(guesses, 1)}
    return PictureResult(codec, picture, 0.0, 100, 1.0, 1.0, values, rate=0.3)


def test_errors_of_first_and_of_five_guesses():
    results = [
        result("a", "right", 7, 1, 2, 3, 4),
        result("a", "fifth", 1, 2, 3, 4, 7),
        result("a", "wrong", 1, 2, 3, 4, 5),
        PictureResult("a", "failed", 0.0, errors=["ValueError: no"]),
    ]
    add_errors(results, dict.fromkeys(["right", "fifth", "wrong", "failed"], 7))
    errors = [(r.values["top1_error"], r.values["top5_error"]) for r in results[:3]]
    assert errors == [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    assert results[3].values == {}


def test_answers_on_originals_stand_for_labels():
    results = [result("original", "x", 9, 1, 2, 3, 4), result("jpeg", "x", 1, 9, 2, 3, 4)]
    assert answers_on_originals(results) == {"x": 9}
    add_errors(results, answers_on_originals(results))
    assert [r.values["top1_error"] for r in results] == [0.0, 1.0]


def test_headings_tell_errors_from_changes():
    assert [c.header for c in columns(True)][1:3] == ["Top-1 error %", "Top-5 error %"]
    assert [c.header for c in columns(False)][1:3] == ["Top-1 changed %", "Top-5 changed %"]


def test_network_sees_the_scaled_middle():
    pixels = np.zeros((256, 300, 3), np.uint8)
    pixels[16:240, 38:262] = (255, 127, 0)
    batch = network_input(pixels)
    assert batch.shape == (1, 3, 224, 224)
    for channel, expected in enumerate((1.0, 0.0, -127.0 / 128.0)):
        assert (batch[0, channel] == expected).all()


def test_pictures_smaller_than_the_crop_are_refused():
    with pytest.raises(ValueError, match="found 300 × 200"):
        network_input(np.zeros((200, 300, 3), np.uint8))


def test_labels_are_read_and_checked(tmp_path):
    path = tmp_path / "labels.csv"
    pictures = [Picture("a/b.png", make_scene(4, 4))]
    path.write_text("file,label\na/b.png,999\nother.png,3\n")
    assert read_labels(path, pictures) == {"a/b.png": 999}
    path.write_text("file,label\na/b.png,1000\n")
    with pytest.raises(ValueError, match="0 to 999, found '1000'"):
        read_labels(path, pictures)
    path.write_text("file,label\nother.png,3\n")
    with pytest.raises(ValueError, match=r"no label for 1 pictures, the first: a/b\.png"):
        read_labels(path, pictures)
    path.write_text("name,label\na/b.png,3\n")
    with pytest.raises(ValueError, match="columns file and label"):
        read_labels(path, pictures)


def test_labels_in_names():
    scene = make_scene(4, 4)
    assert labels_in_names([Picture("imagenet_03_990.jpg", scene)]) == {"imagenet_03_990.jpg": 990}
    for name in ("imagenet_03_1000.jpg", "kodim.png"):
        with pytest.raises(ValueError, match=name):
            labels_in_names([Picture(name, scene)])


class Brightness(torch.nn.Module):
    """A network whose class is the mean sample, 0 to 255."""

    def forward(self, batch):
        mean = batch.mean() * 128.0 + 127.0
        return -(torch.arange(1000.0) - mean).abs()[None]


def test_command_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Classifier, "available", staticmethod(lambda: None))
    monkeypatch.setattr(Classifier, "network", Brightness())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for level in (50, 200):
        Image.new("RGB", (320, 280), (level, level, level)).save(pictures / f"{level}.png")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\n50.png,50\n200.png,999\n")
    arguments = [str(pictures), "--codecs", "jpeg", "--rate", "2.0", "--fit", "nearest"]
    arguments += ["--json", str(tmp_path / "all.json"), "--table", str(tmp_path / "all.md")]
    assert main([*arguments, "--labels", str(labels)]) == 0
    printed = capsys.readouterr().out
    assert "Top-1 error %" in printed
    document = json.loads((tmp_path / "all.json").read_text())
    rows = {row["codec"]: row["estimates"] for row in document["rows"]}
    # One of the two labels is wrong on purpose.
    assert rows["original"]["top1_error"]["value"] == 50.0
    assert rows["jpeg"]["top5_error"]["value"] == 50.0

    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Top-1 changed %" in printed
    assert "No labels were given" in printed


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(image_classifier, "NETWORK_MODULE", "no_such_package")
    assert main([str(tmp_path)]) == 2
    assert "no Python package no_such_package" in capsys.readouterr().err


def test_samples_of_a_package_are_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Classifier, "available", staticmethod(lambda: None))
    monkeypatch.setattr(Classifier, "network", Brightness())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(image_classifier, "SAMPLES_MODULE", "some_samples")
    assert main(["some_samples", "--codecs", "jpeg"]) == 2
    assert "no Python package some_samples" in capsys.readouterr().err
    data = tmp_path / "lib" / "some_samples" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    Image.new("RGB", (280, 280), (50, 50, 50)).save(data / "imagenet_00_50.png")
    Image.new("RGB", (32, 32)).save(data / "cifar10_00_3.png")
    table = tmp_path / "all.md"
    assert main(["some_samples", "--codecs", "jpeg", "--table", str(table)]) == 0
    assert "Top-1 error %" in table.read_text()
    assert "1 pictures" in table.read_text()
