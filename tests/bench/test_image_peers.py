import io
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.image_codec import SteppedCodec
from bench.image_metrics import psnr
from bench.image_peers import Bpg, Heic, Jpeg, all_image_peers
from bench.image_rate import budget_bytes
from bench.pictures import Picture
from tests.bench.pictures import make_scene

SCENE = Picture("scene", make_scene(96, 128))
ABLE = {name: peer for name, peer in all_image_peers().items() if peer.available() is None}


def test_the_peers_of_pillow_itself_are_there():
    assert {"jpeg", "webp", "jpeg2000", "avif"} <= ABLE.keys()


@pytest.mark.parametrize("name", ABLE)
def test_rate_is_kept_and_quality_rises_with_it(name):
    peer = ABLE[name]
    quality = []
    for bpp in (1.0, 3.0):
        encoded = peer.encode_at_rate(SCENE, bpp, "below")
        assert 0.7 * budget_bytes(bpp, SCENE.area) < encoded.size
        assert encoded.size <= budget_bytes(bpp, SCENE.area)
        decoded = peer.decode(encoded.data)
        assert decoded.shape == SCENE.pixels.shape
        assert decoded.dtype == np.uint8
        quality.append(psnr(SCENE.pixels.astype(float), decoded.astype(float)))
    # Grain in the colours, which most of them halve, caps what more bits can bring.
    assert 20.0 < quality[0] < quality[1] - 0.5


@pytest.mark.parametrize("name", ABLE)
def test_encoding_is_repeatable(name):
    peer = ABLE[name]
    image = Image.fromarray(SCENE.pixels)
    setting = peer.settings[len(peer.settings) // 2]
    assert peer.encode(image, setting) == peer.encode(image, setting)


def test_what_was_tried_is_remembered_for_one_picture_only():
    peer = all_image_peers()["jpeg"]
    first = peer.encode_at_rate(SCENE, 1.0, "below")
    assert peer.encode_at_rate(SCENE, 1.0, "below") is first
    other = Picture("other", make_scene(96, 128, seed=2))
    assert peer.encode_at_rate(other, 1.0, "below").data != first.data


@pytest.mark.parametrize("quality", [3, 10, 25, 49, 50, 51, 75, 95])
def test_jpeg_at_a_whole_quality_is_what_libjpeg_writes(quality):
    peer = all_image_peers()["jpeg"]
    assert isinstance(peer, Jpeg)
    image, file = Image.fromarray(SCENE.pixels), io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    assert peer.encode(image, quality) == file.getvalue()


def test_eighths_of_heic_meet_at_whole_steps():
    peer = all_image_peers()["heic"]
    assert isinstance(peer, Heic)
    assert peer.parameters(20.0)["quality"] == 38  # rate factor 31
    # One step of the rate factor is a factor of 2^(1/6) of the quantizer step.
    ratios = [
        float(peer.parameters(20.0 + part)["enc_params"]["x265:ipratio"]) for part in (0, 0.5)
    ]
    assert ratios == pytest.approx([1.4, 1.4 * 2 ** (1 / 12)], abs=1e-6)


def test_tunings_are_versions_of_their_own():
    versions = [peer.version for name, peer in ABLE.items()]
    assert len(set(versions)) == len(versions)


ENCODER = """#!/usr/bin/env python3
import sys
from PIL import Image
quantizer, target, source = int(sys.argv[2]), sys.argv[4], sys.argv[5]
Image.open(source).save(target, "JPEG", quality=100 - quantizer)
"""
DECODER = """#!/usr/bin/env python3
import sys
from PIL import Image
Image.open(sys.argv[3]).save(sys.argv[2])
"""


def install(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_bpg_is_named_as_missing_without_its_programs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Bpg().available() == "bpgenc and bpgdec not on the path"
    install(tmp_path, "bpgenc", ENCODER)
    assert Bpg().available() == "bpgdec not on the path"


def test_bpg_calls_its_programs_and_counts_their_time(monkeypatch, tmp_path):
    # Stand-ins with the arguments of the real ones: how we call them is what is tested.
    python = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), python, os.environ["PATH"]]))
    install(tmp_path, "bpgenc", ENCODER)
    install(tmp_path, "bpgdec", DECODER)
    peer = Bpg()
    assert peer.available() is None
    encoded = peer.encode_at_rate(SCENE, 1.5, "below")
    assert encoded.cpu_seconds > 0.01
    assert peer.decode(encoded.data).shape == SCENE.pixels.shape
    with pytest.raises(RuntimeError, match="bpgdec failed"):
        peer.decode(b"no picture")


class TwoModes(SteppedCodec):
    """Files of ten bytes a setting; settings below 4 are a mode three times as expensive."""

    name = "two modes"
    version = "1"
    settings = range(1, 10)
    emergency_steps = 3

    def available(self):
        return None

    def encode(self, image, setting):
        return bytes(10 * setting if setting >= 4 else 30 + setting)

    def decode(self, data):
        return SCENE.pixels


@pytest.mark.parametrize("rule", ["below", "nearest"])
def test_a_worse_mode_is_taken_only_where_nothing_else_fits(rule):
    codec = TwoModes()
    settings = [
        codec.encode_at_rate(SCENE, 8 * size / SCENE.area, rule).setting for size in (71, 41, 33)
    ]
    assert settings == [7, 4, 3]
