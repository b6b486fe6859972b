"""Tiles decode to what the whole would, regions to what lies there, and any bytes are safe."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamcodec import decode_image, encode_image
from streamcodec.core.container import ContainerWriter
from streamcodec.core.container_layout import MAGIC
from streamcodec.core.packet import KIND_IMAGE, StreamHeader
from streamcodec.errors import (
    FormatError,
    InputError,
    ModelMismatchError,
    StreamcodecError,
    TruncatedError,
)
from streamcodec.image import decoder as decoding
from streamcodec.image import tile_cache
from streamcodec.image.decoder import ImageDecoder
from streamcodec.image.header import PictureHeader
from streamcodec.image.items import Item, ItemType, pack_item
from streamcodec.image.model import ImageModel
from tests.image.tiny_model import save_tiny_model

TILE = 80


@pytest.fixture(scope="module")
def encoded(photo: NDArray[np.uint8], tiny: ImageModel) -> bytes:
    """The photograph with alpha and profiles, in 2 x 3 tiles."""
    alpha = (np.add.outer(np.arange(150), np.arange(210)) % 256).astype(np.uint8)
    pixels = np.dstack([photo, alpha])
    return encode_image(
        pixels, quality=70, complexity=1, tile=TILE, icc_profile=b"icc", exif=b"exif", model=tiny
    )


def test_tiles_equal_the_whole(
    encoded: bytes, tiny: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of any size with the generator's halo give what G on the whole picture gives."""
    decoder = ImageDecoder(encoded, model=tiny)
    latents = decoder.tiles.latents(decoder.file.grid.bounds)
    with torch.no_grad():
        drawn = tiny.generator(latents[None])[0].clamp(0, 1)[:, :150, :210]
    whole = drawn.permute(1, 2, 0).numpy() * 255
    assert np.ptp(whole) > 100
    for window in (1, 2, 5, 64):
        monkeypatch.setattr(decoding, "WINDOW", window)
        decoded = decode_image(encoded, model=tiny)
        assert np.abs(decoded[:, :, :3] - whole).max() < 0.51


def test_a_halo_too_small_shows(
    encoded: bytes, tiny: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above relies on: pixels depend on latents as far as the halo says."""
    whole = decode_image(encoded, model=tiny)
    monkeypatch.setattr(decoding, "WINDOW", 2)
    monkeypatch.setattr(tiny.generator, "halo", 0)
    assert np.abs(decode_image(encoded, model=tiny).astype(int) - whole).max() > 2


def test_regions_are_crops(encoded: bytes, tiny: ImageModel) -> None:
    whole = decode_image(encoded, model=tiny).astype(int)
    seed = 23
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    regions = [(0, 0, 210, 150), (209, 149, 210, 150), (0, 0, 1, 1), (47, 31, 49, 33)]
    for _ in range(20):
        x0, y0 = int(rng.integers(210)), int(rng.integers(150))
        regions.append((x0, y0, int(rng.integers(x0 + 1, 211)), int(rng.integers(y0 + 1, 151))))
    for x0, y0, x1, y1 in regions:
        part = decode_image(encoded, (x0, y0, x1, y1), model=tiny)
        difference = np.abs(part.astype(int) - whole[y0:y1, x0:x1])
        assert difference.max() <= 1
        assert not difference[:, :, 3].any()


def test_a_region_decodes_only_its_tiles(encoded: bytes, tiny: ImageModel) -> None:
    decoder = ImageDecoder(encoded, model=tiny)
    list(decoder.strips((0, 0, 8, 8)))
    halo = tiny.generator.halo
    near = [k for k, t in enumerate(decoder.file.grid) if t.y0 <= halo and t.x0 <= halo]
    assert decoder.tiles.held == near
    assert len(near) < len(decoder.file.grid)


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 5), (5, 5, 4, 9), (-1, 0, 5, 5), (0, 0, 211, 5), (0, 0, 5, 151)]
)
def test_regions_outside_are_refused(
    encoded: bytes, tiny: ImageModel, region: tuple[int, int, int, int]
) -> None:
    with pytest.raises(InputError, match="inside 210 x 150"):
        decode_image(encoded, region, model=tiny)


def test_symbols_are_forgotten_but_not_needed_again(
    encoded: bytes, tiny: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decode_image(encoded, model=tiny)
    monkeypatch.setattr(tile_cache, "MAX_CACHED", 20)
    monkeypatch.setattr(decoding, "WINDOW", 3)
    assert np.abs(decode_image(encoded, model=tiny).astype(int) - whole).max() <= 1


def test_threads_make_no_difference(encoded: bytes, tiny: ImageModel) -> None:
    alone = ImageDecoder(encoded, model=tiny)
    expected = alone.tiles.latents(alone.file.grid.bounds)
    torch.set_num_threads(2)
    try:
        together = ImageDecoder(encoded, model=tiny)
        assert torch.equal(together.tiles.latents(together.file.grid.bounds), expected)
    finally:
        torch.set_num_threads(1)


def test_another_model_is_a_mismatch(encoded: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match="made with model"):
        decode_image(encoded, model=save_tiny_model(tmp_path / "other", seed=8))


def test_limits_on_pixels(encoded: bytes, tiny: ImageModel) -> None:
    with pytest.raises(InputError, match="max_pixels"):
        decode_image(encoded, max_pixels=100, model=tiny)
    assert decode_image(encoded, (5, 5, 15, 15), max_pixels=100, model=tiny).shape == (10, 10, 4)


def forged(width: int, height: int, tiny: ImageModel, *, side: int = 32) -> bytes:
    """A file of a few bytes that announces a picture of any size and holds one empty tile."""
    header = StreamHeader(tiny.identity, steps_per_packet=side, refresh=1, kind=KIND_IMAGE)
    writer = ContainerWriter(header)
    data = writer.begin()
    for item in (
        Item(ItemType.PICTURE, PictureHeader(width, height).to_bytes()),
        Item(ItemType.TILE, b"\0"),
    ):
        data += b"".join(writer.add(bytes(p)) for p in pack_item(item))
    return data + writer.finish(width * height)


def test_bombs_are_refused(tiny: ImageModel) -> None:
    tracemalloc.start()
    began = time.perf_counter()
    for width, height in ((1 << 31) - 1, 1), ((1 << 31) - 1, (1 << 31) - 1), (60_000, 60_000):
        data = forged(width, height, tiny)
        assert len(data) < 200
        with pytest.raises(FormatError, match="tiles"):
            decode_image(data, model=tiny)
        with pytest.raises(InputError, match="max_pixels"):
            decode_image(data, recover=True, model=tiny)
        part = decode_image(data, (0, 0, 16, 1), recover=True, model=tiny)
        assert part.shape == (1, 16, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000
    assert time.perf_counter() - began < 60


def test_speech_is_no_picture(tiny: ImageModel) -> None:
    writer = ContainerWriter(StreamHeader(tiny.identity, 2, 25))
    with pytest.raises(FormatError, match="another kind"):
        decode_image(writer.begin() + writer.finish(0), model=tiny)
    with pytest.raises(FormatError, match="streamcodec file"):
        decode_image(b"\x89PNG\r\n\x1a\n" + bytes(50), model=tiny)
    with pytest.raises(TruncatedError):
        decode_image(MAGIC, model=tiny)


def test_a_truncated_file_gives_its_first_tiles(encoded: bytes, tiny: ImageModel) -> None:
    whole = decode_image(encoded, model=tiny)
    lost_before = 0
    for share in (0.8, 0.5, 0.25):
        part = encoded[: int(share * len(encoded))]
        with pytest.raises(TruncatedError):
            decode_image(part, model=tiny)
        decoder = ImageDecoder(part, recover=True, model=tiny)
        pixels = np.concatenate(list(decoder.strips()))
        assert pixels.shape == whole.shape
        assert len(decoder.lost_tiles) > lost_before
        lost_before = len(decoder.lost_tiles)
        assert np.array_equal(pixels[:16, :16], whole[:16, :16])
    with pytest.raises(FormatError):
        decode_image(encoded[:40], recover=True, model=tiny)


def test_a_damaged_tile_is_lost_alone(encoded: bytes, tiny: ImageModel) -> None:
    whole = decode_image(encoded, model=tiny).astype(int)
    damaged = bytearray(encoded)
    damaged[len(damaged) // 2] ^= 0x55
    with pytest.raises(FormatError):
        decode_image(bytes(damaged), model=tiny)
    decoder = ImageDecoder(bytes(damaged), recover=True, model=tiny)
    pixels = np.concatenate(list(decoder.strips())).astype(int)
    assert len(decoder.lost_tiles) == 1
    (lost,) = decoder.lost_tiles
    near = decoder.file.grid[lost].grown(tiny.generator.halo, decoder.file.grid.bounds).scaled(16)
    elsewhere = np.ones(whole.shape[:2], bool)
    elsewhere[near.slices] = False
    assert elsewhere.any()
    assert np.abs(pixels - whole)[elsewhere].max() <= 1


def test_any_bytes_are_safe(encoded: bytes, tiny: ImageModel) -> None:
    seed = 29
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    whole = decode_image(encoded, model=tiny)
    outcomes = {"decoded": 0, "refused": 0}
    for number in range(400):
        data = bytearray(encoded)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(data)))
            kind = number % 4
            if kind == 0:
                data[place] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                data[place : place + int(rng.integers(1, 30))] = b""
            elif kind == 2:
                data[place:place] = rng.bytes(int(rng.integers(1, 30)))
            else:
                data = data[: max(1, place)]
        if bytes(data) == encoded:
            continue
        with pytest.raises(FormatError):
            decode_image(bytes(data), model=tiny)
        try:
            pixels = decode_image(bytes(data), recover=True, max_pixels=10**6, model=tiny)
        except StreamcodecError:
            outcomes["refused"] += 1
        else:
            outcomes["decoded"] += 1
            assert pixels.shape == whole.shape
    print(outcomes)
    assert outcomes["decoded"] > 100
    assert outcomes["refused"] > 20
