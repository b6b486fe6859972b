"""Picture files to image files and back: the part of the library that opens them.

What is written replaces an older file only when it is complete.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .core.distortion import Distortion
from .errors import InputError
from .image.decoder import MAX_PIXELS, ImageDecoder, Progress, Region
from .image.encoder import PictureEncoder
from .image.settings import ANNEALED, EncoderSettings
from .picturefile import PictureWriter, check_output, open_picture
from .safefile import checked_pair, replacing
from .streamfile import is_stream

SUFFIX = ".sci"
"""Of image files."""


@dataclass(frozen=True)
class ImageEncodeReport:
    """What encoding a picture took and gave.

    Attributes
    ----------
    bpp : float
        Bits of the file a pixel, all counted.
    bytes : int
        Size of the file.
    width, height : int
        Pixels.
    tiles : int
    seconds : float
        Time of reading, encoding and writing, without loading the model.
    model, model_identity : str
    complexity, quantizer
        As asked for.
    """

    bpp: float
    bytes: int
    width: int
    height: int
    tiles: int
    seconds: float
    model: str
    model_identity: str
    complexity: int
    quantizer: str


@dataclass(frozen=True)
class ImageDecodeReport:
    """What decoding a picture took and gave.

    Attributes
    ----------
    bpp : float
        Bits of the file a pixel of the whole picture.
    bytes : int
        Size of the file.
    width, height : int
        Pixels written.
    tiles, lost_tiles : int
        Tiles of the whole picture, and those decoded that were lost or damaged.
    seconds : float
        Time of reading, decoding and writing, without loading the model.
    model : str
    """

    bpp: float
    bytes: int
    width: int
    height: int
    tiles: int
    lost_tiles: int
    seconds: float
    model: str


def encode_image_file(
    src: str | Path,
    dst: str | Path,
    *,
    bpp: float | None = None,
    quality: float | None = None,
    complexity: int = 6,
    quantizer: str = ANNEALED,
    distortion: str | Distortion | None = None,
    tile: int | None = None,
    model: str | Path | None = None,
    progress: Progress | None = None,
) -> ImageEncodeReport:
    """Encode a picture file.

    Alpha, ICC profile and EXIF (with its orientation) are kept. Pillow holds the decoded picture
    in memory as a whole; encoding itself needs room for a window of the search and two rows of
    tiles.

    Parameters
    ----------
    src : str or Path
        Any still picture that Pillow reads: grey, RGB, palette, with or without alpha; 16-bit
        grey. (Pillow reduces 16-bit RGB to 8 bits; give such pixels to
        :func:`streamcodec.encode_image`.) CMYK and LAB are refused.
    dst : str or Path
        Image file to write. An older file is replaced once the new one is complete.
    bpp, quality, complexity, quantizer, distortion, tile, model, progress
        As for :func:`streamcodec.encode_image`.

    Returns
    -------
    ImageEncodeReport

    Raises
    ------
    OSError
        A file cannot be read or written.
    InputError
        The source is no picture or cannot be encoded, source and target are the same file, or a
        setting is out of range.
    ModelError
        The model is missing or damaged.
    """
    src, dst = checked_pair(src, dst)
    settings = EncoderSettings(bpp, quality, complexity, quantizer, distortion, tile)
    if is_stream(src):
        raise InputError(f"{src} is a stream already; decode it first to encode it anew")
    with open_picture(src) as picture:
        encoder = PictureEncoder(picture, settings, model=model, progress=progress)
        begin = time.perf_counter()
        size = 0
        with replacing(dst) as part, part.open("wb") as file:
            for piece in encoder.pieces():
                size += file.write(piece)
        seconds = time.perf_counter() - begin
    header = picture.header
    return ImageEncodeReport(
        bpp=8 * size / header.pixels,
        bytes=size,
        width=header.width,
        height=header.height,
        tiles=len(encoder.scene.grid),
        seconds=seconds,
        model=encoder.model.name,
        model_identity=encoder.model.identity.hex(),
        complexity=complexity,
        quantizer=quantizer,
    )


def decode_image_file(
    src: str | Path,
    dst: str | Path,
    *,
    region: Region | None = None,
    recover: bool = False,
    max_pixels: int = MAX_PIXELS,
    model: str | Path | None = None,
    realism: float = 0.0,
    progress: Progress | None = None,
) -> ImageDecodeReport:
    """Decode an image file to a picture file.

    Parameters
    ----------
    src : str or Path
        Image file.
    dst : str or Path
        Picture to write. ``.png`` is written strip by strip, in memory that does not grow with
        the picture, 8 or 16 bit; other suffixes through Pillow, which needs all of it. An older
        file is replaced once the new one is complete.
    region, recover, max_pixels, model, realism, progress
        As for :func:`streamcodec.decode_image`.

    Returns
    -------
    ImageDecodeReport

    Raises
    ------
    OSError
        A file cannot be read or written.
    FormatError
        The source is no image file of ours, or damaged and `recover` is not set.
    InputError
        The target's suffix is unknown or holds no such picture, the region does not lie in it, or
        the model cannot draw with such realism.
    ModelError
        The model is missing, damaged, or not the one that made the file.
    """
    src, dst = checked_pair(src, dst)
    check_output(dst.suffix)
    decoder = ImageDecoder(src.read_bytes(), recover=recover, model=model, realism=realism)
    parts, name = decoder.file, decoder.model.name
    _ = decoder.drawing  # what cannot be drawn is said before a file is begun
    box = decoder.box_of(region, max_pixels)
    begin = time.perf_counter()
    with (
        replacing(dst) as part,
        PictureWriter(
            part, dst.suffix, box.width, box.height, parts.picture, parts.icc_profile, parts.exif
        ) as writer,
    ):
        for strip in decoder.strips(region, max_pixels=max_pixels, progress=progress):
            writer.write(strip)
    return ImageDecodeReport(
        bpp=parts.bpp,
        bytes=parts.size,
        width=box.width,
        height=box.height,
        tiles=len(parts.grid),
        lost_tiles=len(decoder.lost_tiles),
        seconds=time.perf_counter() - begin,
        model=name,
    )
