"""Rates are met, the search is worth its time, tiles leave no seams, and any picture is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamcodec import decode_image, encode_image
from streamcodec.errors import InputError
from streamcodec.image import windows
from streamcodec.image.encoder import PictureEncoder
from streamcodec.image.layout import parse_image
from streamcodec.image.model import ImageModel
from streamcodec.image.picture import ArrayPicture
from streamcodec.image.scene import Scene
from streamcodec.image.settings import EncoderSettings
from streamcodec.image.tiles import Box
from tests.image.conftest import psnr


def bpp_of(data: bytes, pixels: NDArray[np.generic]) -> float:
    return 8 * len(data) / (pixels.shape[0] * pixels.shape[1])


@pytest.fixture(scope="module")
def large() -> NDArray[np.uint8]:
    """1.2 megapixels: more than one window of the search."""
    y, x = np.mgrid[:900, :1300] / 300.0
    planes = [0.5 + 0.3 * np.sin(5 * x + c) * np.cos(3 * y) + 0.2 * (x > y) for c in range(3)]
    noise = 0.03 * np.random.default_rng(2).standard_normal((900, 1300, 3))
    return np.round(255 * np.clip(np.stack(planes, 2) + noise, 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("complexity", [0, 3])
@pytest.mark.parametrize(("bpp", "between_rungs"), [(0.12, False), (0.165, False), (0.17, True)])
def test_a_rate_is_met_and_not_exceeded(
    large: NDArray[np.uint8], tiny: ImageModel, bpp: float, complexity: int, between_rungs: bool
) -> None:
    data = encode_image(large, bpp=bpp, complexity=complexity, model=tiny)
    assert 0.994 * bpp <= bpp_of(data, large) <= bpp
    # Between two rungs of a ladder of four a rate is dearly bought, and without a search.
    dear = between_rungs or not complexity
    assert psnr(decode_image(data, model=tiny), large) > (12 if dear else 18)


def test_steering_to_a_rate_costs_nothing() -> None:
    """Set to the bits that a quality took, a search ends as near as at that quality's price."""
    y, x = np.mgrid[:256, :256] / 150.0
    planes = [
        0.5 + 0.3 * np.sin(3 * x + c) * np.cos(4 * y) - 0.2 * (np.sin(40 * x * y) > 0.9)
        for c in range(3)
    ]
    noise = 0.02 * np.random.default_rng(71).standard_normal((256, 256, 3))
    pixels = np.round(255 * np.clip(np.stack(planes, 2) + noise, 0, 1)).astype(np.uint8)
    free = encode_image(pixels, quality=30)
    steered = encode_image(pixels, bpp=bpp_of(free, pixels))
    assert 0.994 * len(free) <= len(steered) <= len(free)
    loss = psnr(decode_image(free), pixels) - psnr(decode_image(steered), pixels)
    print(f"steering costs {loss:.3f} dB")
    assert loss < 0.03


def test_a_rate_that_cannot_be_met_is_approached(tiny: ImageModel) -> None:
    dot = np.full((1, 1, 3), 90, np.uint8)
    for bpp in (0.05, 16.0):
        assert decode_image(encode_image(dot, bpp=bpp, model=tiny), model=tiny).shape == (1, 1, 3)


def test_quality_rises_with_its_number(photo: NDArray[np.uint8], tiny: ImageModel) -> None:
    sizes, qualities = [], []
    for quality in (0, 20, 40, 100):
        data = encode_image(photo, quality=quality, complexity=2, model=tiny)
        sizes.append(len(data))
        qualities.append(psnr(decode_image(data, model=tiny), photo))
    assert sizes == sorted(sizes)
    # The model paints means of patches: soon they are as good as they get.
    assert qualities[-1] > qualities[0] + 0.3


@pytest.mark.parametrize("quantizer", ["annealed", "admm", "uniform"])
def test_the_search_pays(photo: NDArray[np.uint8], tiny: ImageModel, quantizer: str) -> None:
    def quality(complexity: int) -> float:
        data = encode_image(photo, bpp=0.2, complexity=complexity, quantizer=quantizer, model=tiny)
        return psnr(decode_image(data, model=tiny), photo)

    alone, searched = quality(0), quality(7)
    print(f"{quantizer}: E alone {alone:.2f} dB, searched {searched:.2f} dB")
    assert searched > alone + 0.3


def test_other_distortions_find_other_pictures(photo: NDArray[np.uint8], tiny: ImageModel) -> None:
    def green_counts(pictures: Tensor, target: Tensor) -> Tensor:
        return (pictures - target)[:, 1].square().flatten(1).mean(dim=1)

    def green_error(distortion: object) -> float:
        data = encode_image(photo, quality=50, distortion=distortion, model=tiny)  # type: ignore[arg-type]
        return psnr(decode_image(data, model=tiny)[:, :, 1], photo[:, :, 1])

    assert green_error(green_counts) > green_error("mse")
    structural = encode_image(photo, distortion="ms-ssim", model=tiny)
    assert structural != encode_image(photo, model=tiny)
    # A model says what it was made for; a caller may want something else.
    made_for_it = replace(tiny, distortion="ms-ssim")
    assert encode_image(photo, model=made_for_it) == structural
    assert encode_image(photo, distortion="mse", model=made_for_it) == encode_image(
        photo, model=tiny
    )


def test_windows_show_no_seams(
    large: NDArray[np.uint8], tiny: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors beside the borders of windows are no larger than elsewhere."""
    monkeypatch.setattr(windows, "MAX_WINDOW", 8 * 32)
    settings = EncoderSettings(quality=50, complexity=4, tile=8 * 16)
    encoder = PictureEncoder(ArrayPicture(large), settings, model=tiny)
    data = b"".join(encoder.pieces())
    places = encoder.scene.windows
    assert len(places) > 8
    error = np.square(decode_image(data, model=tiny).astype(float) - large).mean(axis=2)
    beside = np.zeros(error.shape, bool)
    for window in places:
        box = window.box.scaled(16)
        inner = Box(box.y0 + 8, box.y1 - 8, box.x0 + 8, box.x1 - 8)
        border = np.zeros_like(beside)
        border[box.slices] = True
        border[inner.slices] = False
        beside |= border
    at_edges = np.zeros_like(beside)
    at_edges[:16], at_edges[-16:], at_edges[:, :16], at_edges[:, -16:] = True, True, True, True
    seams, rest = error[beside & ~at_edges].mean(), error[~beside & ~at_edges].mean()
    print(f"squared error beside borders {seams:.2f}, elsewhere {rest:.2f}")
    assert seams < 1.1 * rest


def test_what_was_found_is_the_margin_of_what_comes(
    large: NDArray[np.uint8], tiny: ImageModel
) -> None:
    """A window sees the symbols that the decoder will have behind it, and E's guess before it."""
    rung = 2
    scene = Scene(ArrayPicture(large), tiny, 16)
    first, second = scene.windows[:2]
    found = torch.full((first.box.height, first.box.width, tiny.latent_dim), 7.0)
    scene.keep(scene.surroundings(first, rung), found)
    place = scene.surroundings(second, rung)
    around = second.box.grown(windows.MARGIN, scene.grid.bounds)
    overlap = first.box.common(around)
    assert overlap.area
    seen = (place.fixed * tiny.gains[rung])[overlap.within(around).slices]
    assert bool((seen.round() == 7).all())
    assert not place.fixed[place.inner.slices].any()


@pytest.mark.parametrize("tile", [16, 48, 512])
@pytest.mark.parametrize("kind", ["L", "LA", "RGB", "RGBA", "L16", "RGBA16", "float"])
def test_all_kinds_come_back(
    photo: NDArray[np.uint8], tiny: ImageModel, kind: str, tile: int
) -> None:
    pixels: NDArray[np.generic] = photo[:70, :45]
    if kind.startswith("L"):
        pixels = pixels[:, :, :1]
    if "A" in kind:
        rng = np.random.default_rng(3)
        alpha = rng.integers(0, 256, pixels.shape[:2], np.uint8)[:, :, None]
        pixels = np.concatenate([pixels, alpha], axis=2)
    if kind.endswith("16"):
        pixels = pixels.astype(np.uint16) * 257
    if kind == "float":
        pixels = pixels / np.float32(255.0)
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    data = encode_image(pixels, quality=90, complexity=0, tile=tile, model=tiny)
    decoded = decode_image(data, model=tiny)
    assert decoded.shape == pixels.shape
    peak = 255.0
    if kind == "float" or kind.endswith("16"):
        assert decoded.dtype == np.uint16
        peak = 65_535.0
    scaled = pixels * (65_535.0 if kind == "float" else 1.0)
    if "A" in kind:
        assert np.array_equal(decoded[:, :, -1], pixels[:, :, -1])
        scaled, decoded = scaled[:, :, :-1], decoded[:, :, :-1]
    assert psnr(decoded, scaled, peak) > 18


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (16, 17), (513, 31)])
def test_any_size_is_taken(size: tuple[int, int], tiny: ImageModel) -> None:
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size).astype(np.uint8)
    data = encode_image(ramp, quality=80, complexity=1, model=tiny)
    decoded = decode_image(data, model=tiny)
    assert decoded.shape == size
    assert psnr(decoded, ramp) > 16


def test_profiles_are_kept(photo: NDArray[np.uint8], tiny: ImageModel) -> None:
    plain = encode_image(photo, complexity=0, model=tiny)
    data = encode_image(photo, complexity=0, icc_profile=b"profile" * 99, exif=b"e", model=tiny)
    parts = parse_image(data)
    assert parts.icc_profile == b"profile" * 99
    assert parts.exif == b"e"
    assert np.array_equal(decode_image(data, model=tiny), decode_image(plain, model=tiny))


@pytest.mark.parametrize("complexity", [0, 1])
def test_progress_ends_at_the_end(
    large: NDArray[np.uint8], tiny: ImageModel, complexity: int
) -> None:
    told: list[tuple[float, float | None]] = []
    encode_image(large, complexity=complexity, model=tiny, progress=lambda *x: told.append(x))
    assert told == sorted(told)
    assert told[-1][0] == pytest.approx(told[-1][1])
    assert len(told) > 1


def test_equal_input_gives_equal_bytes(photo: NDArray[np.uint8], tiny: ImageModel) -> None:
    assert encode_image(photo, bpp=0.2, model=tiny) == encode_image(photo, bpp=0.2, model=tiny)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
        np.zeros((5, 5, 5), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((2, 5, 5, 3), np.uint8),
        np.zeros((5, 5), np.int64),
        np.zeros((5, 5), bool),
        np.full((5, 5), 1.5),
        np.full((5, 5), np.nan, np.float32),
    ],
)
def test_what_is_no_picture_is_refused(pixels: NDArray[np.generic], tiny: ImageModel) -> None:
    with pytest.raises(InputError, match="expected"):
        encode_image(pixels, model=tiny)


@pytest.mark.parametrize(
    "options",
    [
        {"bpp": 0.3, "quality": 5},
        {"bpp": 0.0},
        {"bpp": float("nan")},
        {"bpp": 100.0},
        {"quality": -1},
        {"quality": float("nan")},
        {"complexity": 11},
        {"complexity": 2.5},
        {"quantizer": "none"},
        {"distortion": "vmaf"},
        {"tile": 100},
        {"tile": 0},
        {"tile": 256 * 16},
    ],
)
def test_bad_settings_are_named(options: dict[str, object], tiny: ImageModel) -> None:
    with pytest.raises(InputError):
        encode_image(np.zeros((5, 5), np.uint8), model=tiny, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("complexity", [3, 6])
def test_a_searched_picture_is_no_farther_off_than_the_guess(complexity: int) -> None:
    """Noise at a low rate, which no search of this model can better: E's guess has to stand."""
    grain = np.random.default_rng(4).normal(size=(192, 192, 3))
    grain = (
        grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1) + np.roll(grain, (1, 1), (0, 1))
    ) / 2
    pixels = (128 + 60 * grain).clip(0, 255).astype(np.uint8)

    def off(complexity: int) -> float:
        data = encode_image(pixels, bpp=0.3, complexity=complexity)
        assert 8 * len(data) <= 0.3 * pixels.shape[0] * pixels.shape[1]
        decoded = decode_image(data).astype(np.float64)
        return float(np.square(decoded - pixels).mean())

    assert off(complexity) < 1.01 * off(0)
