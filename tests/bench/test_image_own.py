import numpy as np
import pytest

import streamcodec
from bench.image_own import StreamcodecImage
from bench.image_rate import budget_bytes
from bench.pictures import Picture
from streamcodec import errors
from tests.bench.pictures import make_scene

SCENE = Picture("scene", make_scene(64, 96))


class Library:
    """Stands in for the image API: files some per cent larger than asked for."""

    def __init__(self, excess=1.05):
        self.excess = excess
        self.calls = []

    def encode_image(self, pixels, *, bpp, **options):
        self.calls.append((bpp, options))
        height, width = pixels.shape[:2]
        return bytes(int(self.excess * bpp * height * width / 8))

    def decode_image(self, data, **options):
        self.decoding = options
        return np.zeros((64, 96, 3), np.uint8)


@pytest.fixture
def library(monkeypatch):
    stand_in = Library()
    monkeypatch.setattr(streamcodec, "encode_image", stand_in.encode_image, raising=False)
    monkeypatch.setattr(streamcodec, "decode_image", stand_in.decode_image, raising=False)
    return stand_in


def test_options_reach_the_library(library):
    codec = StreamcodecImage(6, "uniform")
    assert codec.name == "streamcodec:uniform:c6"
    codec.decode(codec.encode_at_rate(SCENE, 0.5, "below").data)
    assert library.calls[0] == (0.5, {"complexity": 6, "quantizer": "uniform"})
    assert library.decoding == {}


def test_another_distortion_is_passed_on_and_named(library):
    codec = StreamcodecImage(6, "admm", distortion="ms-ssim")
    assert codec.name == "streamcodec:admm:c6:ms-ssim"
    codec.encode_at_rate(SCENE, 0.5, "below")
    assert library.calls[0][1]["distortion"] == "ms-ssim"


def test_a_model_is_given_both_ways_and_names_the_row(library):
    codec = StreamcodecImage(0, "admm", "some/where/image-ms")
    assert codec.name == "streamcodec:image-ms:admm:c0"
    codec.decode(codec.encode_at_rate(SCENE, 0.5, "below").data)
    assert library.calls[0][1]["model"] == "some/where/image-ms"
    assert library.decoding == {"model": "some/where/image-ms"}


def test_rate_is_corrected_from_below(library):
    encoded = StreamcodecImage(6, "admm").encode_at_rate(SCENE, 0.5, "below")
    budget = budget_bytes(0.5, SCENE.area)
    assert 0.985 * budget <= encoded.size <= budget
    assert encoded.setting < 0.5
    assert len(library.calls) == 2


def test_no_image_api_and_no_model_are_reasons(monkeypatch, library):
    assert StreamcodecImage(6, "admm").available() is None

    def no_model(pixels, **options):
        raise errors.StreamcodecError("no image model")

    monkeypatch.setattr(streamcodec, "encode_image", no_model)
    assert StreamcodecImage(6, "admm").available() == "no image model"


def test_version_changes_with_the_weights_and_the_options(tmp_path):
    weights = tmp_path / "decoder.safetensors"
    weights.write_bytes(b"one")
    first = StreamcodecImage(6, "admm", str(tmp_path)).version
    assert StreamcodecImage(6, "admm", str(tmp_path)).version == first
    assert StreamcodecImage(6, "uniform", str(tmp_path)).version != first
    weights.write_bytes(b"two")
    assert StreamcodecImage(6, "admm", str(tmp_path)).version != first
