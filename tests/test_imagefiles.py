"""Picture files of all kinds go in and come out, or are refused by name."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import streamcodec
from streamcodec import decode_image_file, encode_image_file
from streamcodec.errors import FormatError, InputError
from streamcodec.image.layout import parse_image
from tests.image.conftest import photo, psnr, tiny_folder

__all__ = ["photo", "tiny_folder"]

ORIENTATION = 0x0112


def encoded(path: Path, model: Path, **options: object) -> Path:
    target = path.with_name(path.name + ".sci")
    encode_image_file(path, target, quality=90, complexity=0, model=model, **options)  # type: ignore[arg-type]
    return target


def through(path: Path, model: Path, suffix: str = ".png") -> Image.Image:
    target = path.with_name("back" + suffix)
    decode_image_file(encoded(path, model), target, model=model)
    return Image.open(target)


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("1", ".png", "L"),
        ("L", ".png", "L"),
        ("LA", ".png", "LA"),
        ("P", ".gif", "RGB"),
        ("P", ".png", "RGB"),
        ("RGB", ".jpg", "RGB"),
        ("RGB", ".bmp", "RGB"),
        ("RGBA", ".png", "RGBA"),
        ("YCbCr", ".tif", "RGB"),
        ("I;16", ".png", "I;16"),
        ("I;16", ".tif", "I;16"),
    ],
)
def test_modes(
    mode: str,
    suffix: str,
    expected: str,
    photo: NDArray[np.uint8],
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    if mode == "I;16":
        image = Image.fromarray(photo[:, :, 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(photo).convert(mode)
    path = tmp_path / f"picture{suffix}"
    image.save(path)
    back = through(path, tiny_folder)
    assert back.mode == expected
    assert back.size == image.size
    peak = 65_535.0 if mode == "I;16" else 255.0
    original = np.asarray(image if mode == "I;16" else image.convert(expected))
    # Dithered black and white is all noise to a codec of means.
    assert psnr(np.asarray(back), original, peak) > (6 if mode == "1" else 18)


def test_a_transparent_palette_keeps_its_alpha(
    photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    image = Image.fromarray(photo).convert("P")
    path = tmp_path / "picture.png"
    image.save(path, transparency=int(np.asarray(image)[70, 70]))
    expected = np.asarray(Image.open(path).convert("RGBA"))
    assert 0 < (expected[:, :, 3] == 0).mean() < 1
    back = through(path, tiny_folder)
    assert np.array_equal(np.asarray(back)[:, :, 3], expected[:, :, 3])


def test_orientation_and_profile_are_kept(
    photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "picture.jpg"
    Image.fromarray(photo).save(path, exif=exif, icc_profile=b"profile" * 500)
    for suffix in (".png", ".jpg", ".webp"):
        back = through(path, tiny_folder, suffix)
        assert back.getexif()[ORIENTATION] == 6
        assert back.info["icc_profile"] == b"profile" * 500
        assert back.size == (210, 150)


def test_reports(photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(photo).save(path)
    target = tmp_path / "picture.sci"
    report = encode_image_file(path, target, bpp=0.2, complexity=1, tile=64, model=tiny_folder)
    assert (report.width, report.height, report.tiles) == (210, 150, 12)
    assert report.bytes == target.stat().st_size
    assert report.bpp == 8 * report.bytes / (210 * 150) <= 0.2
    decoded = decode_image_file(
        target, tmp_path / "part.png", region=(10, 20, 40, 90), model=tiny_folder
    )
    assert (decoded.width, decoded.height, decoded.lost_tiles) == (30, 70, 0)
    with Image.open(tmp_path / "part.png") as part:
        assert part.size == (30, 70)


def test_sixteen_bit_colours_go_to_png_alone(
    photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "deep.sci"
    pixels = photo.astype(np.uint16) * 257
    path.write_bytes(streamcodec.encode_image(pixels, complexity=0, model=tiny_folder))
    decode_image_file(path, tmp_path / "deep.png", model=tiny_folder)
    assert (tmp_path / "deep.png").read_bytes()[24] == 16
    with pytest.raises(InputError, match="png"):
        decode_image_file(path, tmp_path / "deep.tif", model=tiny_folder)
    assert not (tmp_path / "deep.tif").exists()


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "F"])
def test_modes_that_are_refused(
    mode: str, photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "picture.tif"
    image = Image.fromarray(photo)
    (image.convert("L").convert("F") if mode == "F" else Image.new(mode, (20, 20))).save(path)
    with pytest.raises(InputError, match=f"mode {mode}.*RGB"):
        encoded(path, tiny_folder)


def test_what_is_refused_leaves_nothing_behind(
    photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    whole = io.BytesIO()
    Image.fromarray(photo).save(whole, "png")
    animation = io.BytesIO()
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(animation, "gif", save_all=True, append_images=frames[1:])
    path = tmp_path / "picture.png"
    for data, words in (
        (b"", "no picture"),
        (b"not a picture", "no picture"),
        (whole.getvalue()[:3000], "no picture"),
        (animation.getvalue(), "2 frames"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=words):
            encoded(path, tiny_folder)
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_pillows_limit_against_bombs(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    Image.new("L", (300, 300)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="MAX_IMAGE_PIXELS"):
        encoded(path, tiny_folder)


def test_outputs_are_checked_before_the_work(
    photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(photo).save(path)
    source = encoded(path, tiny_folder)
    for name in ("out.xyz", "out"):
        with pytest.raises(InputError, match=r"use \.png"):
            decode_image_file(source, tmp_path / name, model=tiny_folder)
    with pytest.raises(InputError, match="same file"):
        decode_image_file(source, source, model=tiny_folder)
    with pytest.raises(InputError, match="stream already"):
        encode_image_file(source, tmp_path / "x.sci", model=tiny_folder)
    with pytest.raises(FormatError):
        decode_image_file(path, tmp_path / "x.png", model=tiny_folder)
    with_alpha = tmp_path / "alpha.png"
    Image.fromarray(photo).convert("RGBA").save(with_alpha)
    with pytest.raises(InputError, match=r"as \.jpg"):
        decode_image_file(encoded(with_alpha, tiny_folder), tmp_path / "x.jpg", model=tiny_folder)
    assert not list(tmp_path.glob("x.*"))


MEASURE = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
from streamcodec.image.decoder import ImageDecoder
from streamcodec.image.encoder import PictureEncoder
from streamcodec.image.header import PictureHeader
from streamcodec.image.settings import EncoderSettings

class Endless:
    icc_profile = exif = b""
    def __init__(self, height):
        self.header = PictureHeader(1024, height)
    def read(self, box):
        x = np.arange(box.x0, box.x1)[None, :, None]
        y = np.arange(box.y0, box.y1)[:, None, None]
        return ((x * 3 + y * 5 + np.arange(3) * 40) // 8 % 256).astype(np.uint8)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def run(height):
    settings = EncoderSettings(bpp=0.1, complexity=1)
    data = b"".join(PictureEncoder(Endless(height), settings, model=sys.argv[1]).pieces())
    rows = sum(len(s) for s in ImageDecoder(data, model=sys.argv[1]).strips())
    assert rows == height
    return peak()

small = run(2048)
print(small, run(12288))
"""


def test_memory_does_not_grow_with_the_picture(tiny_folder: Path) -> None:
    """Six times as many pixels, 13 against 2 megapixels, take hardly more memory."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tiny_folder)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    small, large = map(int, result.stdout.split())
    print(f"peak memory {small} and {large} MB")
    assert large < small + 70


def test_files_hold_what_they_say(
    photo: NDArray[np.uint8], tiny_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(photo).save(path)
    parts = parse_image(encoded(path, tiny_folder).read_bytes())
    assert parts.bpp == 8 * parts.size / photo[:, :, 0].size
    assert parts.lossless_bytes == 0
