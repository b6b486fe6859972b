"""Pillow opens and saves our pictures as it does any other."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import streamcodec_pillow
from numpy.typing import NDArray
from PIL import Image, ImageFile

import streamcodec
from streamcodec.image import model as image_model
from tests.image.conftest import photo, psnr, tiny_folder

__all__ = ["photo", "tiny_folder"]


@pytest.fixture(autouse=True)
def default_model(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny model be the default one."""
    monkeypatch.setattr(image_model, "DEFAULT_MODEL", str(tiny_folder))


@pytest.fixture
def saved(photo: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "SCI", quality=90, complexity=0)
    return file.getvalue()


def test_save_and_open(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "photo.sci"
    Image.fromarray(photo).save(path, bpp=0.2, complexity=1)
    assert 8 * path.stat().st_size <= 0.2 * 150 * 210
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("SCI", "RGB", (210, 150))
        assert image.get_format_mimetype() == "image/x-streamcodec"
        pixels = np.asarray(image)
    assert np.array_equal(pixels, streamcodec.decode_image(path.read_bytes()))
    assert psnr(pixels, photo) > 15


def test_nothing_is_decoded_before_it_is_needed(
    saved: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = streamcodec.decode_image

    def counted(*arguments: object, **options: object) -> NDArray[np.unsignedinteger]:
        calls.append(options)
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(streamcodec, "decode_image", counted)
    image = Image.open(io.BytesIO(saved))
    assert image.size == (210, 150)
    assert not calls
    assert image.getpixel((3, 4)) == image.copy().getpixel((3, 4))
    image.load()
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_modes(mode: str, photo: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photo)
    image = (
        Image.fromarray(photo[:, :, 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else image.convert(mode)
    )
    file = io.BytesIO()
    image.save(file, "SCI", quality=90, complexity=0)
    back = Image.open(file)
    expected = {"1": "L", "P": "RGB"}.get(mode, mode)
    assert back.mode == expected
    pixels = np.asarray(back)
    assert back.mode == expected
    if mode != "1":
        original = np.asarray(image if mode == "I;16" else image.convert(expected))
        assert psnr(pixels, original, 65_535.0 if mode == "I;16" else 255.0) > 18


def test_deep_colours_come_out_with_eight_bits(photo: NDArray[np.uint8]) -> None:
    data = streamcodec.encode_image(photo.astype(np.uint16) * 257, complexity=0)
    image = Image.open(io.BytesIO(data))
    assert image.mode == "RGB"
    whole = streamcodec.decode_image(data)
    assert np.abs(np.asarray(image).astype(float) * 257 - whole).max() <= 129


def test_metadata(photo: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "SCI", complexity=0, exif=exif, icc_profile=b"profile")
    image = Image.open(file)
    assert image.getexif()[0x0112] == 8
    assert image.info["icc_profile"] == b"profile"
    again = io.BytesIO()
    image.save(again, "SCI", complexity=0)
    assert Image.open(again).getexif()[0x0112] == 8


def test_bombs(saved: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(saved))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(saved))


def test_truncated_files(saved: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    part = saved[:-20]
    image = Image.open(io.BytesIO(part))
    assert image.size == (210, 150)
    with pytest.raises(OSError, match="ends too early"):
        image.load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert Image.open(io.BytesIO(part)).getpixel((1, 1)) is not None
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(saved[:30]))


def test_speech_is_left_alone(saved: bytes) -> None:
    speech = saved[:13] + b"\x01" + saved[14:]
    assert not streamcodec_pillow._accept(speech[:16])
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(speech))


def test_what_cannot_be_saved_is_an_error() -> None:
    with pytest.raises(OSError, match="CMYK"):
        Image.new("CMYK", (5, 5)).save(io.BytesIO(), "SCI")
    with pytest.raises(OSError, match="quality"):
        Image.new("L", (5, 5)).save(io.BytesIO(), "SCI", quality=500)


def test_importing_it_loads_no_network() -> None:
    code = "import sys, streamcodec_pillow; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "ModuleNotFoundError" in result.stderr:
        folder = Path(streamcodec_pillow.__file__).parents[1]
        code = f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr
