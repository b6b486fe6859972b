"""Realism of sets of pictures: alike sets are near, blurred ones are not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bench import image_realism
from bench.image_codec import Chronometer, ImageCodec
from bench.image_rate import Encoded
from bench.image_realism import PATCH, STEP, kernel_distance, patches_of
from bench.image_strips import GAP, HEADING, draw_strips, middle

RNG = np.random.default_rng(5)


def test_sets_of_one_kind_are_near():
    a, b, other = (RNG.normal(mean, 1.0, (300, 20)) for mean in (0.0, 0.0, 0.5))
    assert abs(kernel_distance(a, b)) < 0.02
    assert kernel_distance(a, other) > 0.1
    assert kernel_distance(a, other) == pytest.approx(kernel_distance(other, a))


def test_patches_lie_half_over_each_other():
    pixels = np.zeros((PATCH + STEP + 7, PATCH + 3 * STEP, 3), np.uint8)
    pixels[STEP, STEP] = 200
    patches = patches_of(pixels)
    assert patches.shape == (2 * 4, PATCH, PATCH, 3)
    assert patches[0, STEP, STEP, 0] == patches[5, 0, 0, 0] == 200
    with pytest.raises(ValueError, match="sides of 256"):
        patches_of(pixels[:, :200])


class Blur(ImageCodec):
    """Blurs by so much."""

    version = "1"

    def __init__(self, radius: float) -> None:
        self.radius = radius
        self.name = f"blur{radius:g}"

    def available(self):
        return None

    def encode_at_rate(self, picture, bpp, rule):
        with Chronometer() as clock:
            self._held = picture.pixels
        return Encoded(b"x" * 100, 0.0, clock.cpu_seconds, clock.wall_seconds)

    def decode(self, data):
        image = Image.fromarray(self._held)
        return np.asarray(image.filter(ImageFilter.GaussianBlur(self.radius)), np.uint8)


@pytest.mark.skipif(
    image_realism.Realism.available() is not None, reason="packages of the bench are not installed"
)
def test_blur_is_neither_real_nor_alike(tmp_path, monkeypatch, capsys):
    y, x = np.mgrid[:256, :384]
    for number in range(2):
        grain = RNG.normal(0, 25, (256, 384, 3))
        waves = 60 * np.sin(x / (7 + 3 * number)) * np.cos(y / 11)
        pixels = np.clip(128 + waves[..., None] + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(
        image_realism, "choose_codecs", lambda options: ([Blur(0.0), Blur(3.0)], {})
    )
    report = tmp_path / "out" / "r.json"
    strips = tmp_path / "out" / "strips.png"
    words = [str(tmp_path), "--json", str(report), "--picture", str(strips), "--show", "1.png"]
    assert image_realism.main(words) == 0
    with Image.open(strips) as drawn:
        assert drawn.size == (3 * PATCH + 2 * GAP, HEADING + PATCH + GAP)
        columns = np.asarray(drawn)[HEADING : HEADING + PATCH].astype(int)
    first, second, third = (columns[:, k * (PATCH + GAP) :][:, :PATCH] for k in range(3))
    with Image.open(tmp_path / "1.png") as original:
        np.testing.assert_array_equal(first, np.asarray(original)[:, 64:320])
    np.testing.assert_array_equal(first, second)
    assert third.std() < 0.8 * first.std()
    import json

    rows = {row["codec"]: row["estimates"] for row in json.loads(report.read_text())["rows"]}
    # Unbiased, hence below zero where sets are the same.
    assert rows["blur0"]["kid"]["value"] < 0.01 < rows["blur3"]["kid"]["value"]
    assert rows["blur0"]["ssimulacra2"]["value"] == pytest.approx(100.0)
    assert rows["blur3"]["ssimulacra2"]["value"] < 50.0
    assert "KID" in capsys.readouterr().out


def test_pictures_that_are_not_there_are_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(image_realism.Realism, "available", staticmethod(lambda: None))
    monkeypatch.setattr(image_realism, "choose_codecs", lambda options: ([Blur(0.0)], {}))
    Image.new("RGB", (256, 256)).save(tmp_path / "a.png")
    words = [str(tmp_path), "--picture", str(tmp_path / "s.png"), "--show", "a.png", "b.png"]
    assert image_realism.main(words) == 2
    assert "no pictures b.png" in capsys.readouterr().err


def test_strips_need_columns_of_one_length(tmp_path):
    crop = np.zeros((4, 5, 3), np.uint8)
    assert middle(np.zeros((9, 4, 3), np.uint8), 6).shape == (6, 4, 3)
    for columns in ({}, {"a": []}, {"a": [crop], "b": [crop, crop]}):
        with pytest.raises(ValueError, match="one length"):
            draw_strips(columns, tmp_path / "s.png")
    assert not (tmp_path / "s.png").exists()


def test_missing_packages_are_named(monkeypatch, capsys, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ssimulacra2" else found(name)
    )
    assert image_realism.main([str(tmp_path)]) == 2
    assert "no Python package ssimulacra2" in capsys.readouterr().err
