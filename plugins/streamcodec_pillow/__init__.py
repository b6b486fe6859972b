"""Pillow plugin: ``Image.open`` and ``Image.save`` for image files of streamcodec (``.sci``).

Pillow looks for no plugins but its own, so import this module once before pictures are opened or
saved; ``Image.open`` then knows the format like any other::

    from PIL import Image
    import streamcodec_pillow

    with Image.open("photo.jpg") as photo:
        photo.save("photo.sci", bpp=0.3)
    picture = Image.open("photo.sci")      # size, mode and metadata; nothing is decoded yet
    picture.crop((0, 0, 64, 64)).show()    # now it is

Options of ``save``: ``bpp`` or ``quality``, ``complexity``, ``quantizer``, ``distortion``,
``model``, ``icc_profile``, ``exif``, as for :func:`streamcodec.encode_image`. Pillow's limits
against decompression bombs apply; a truncated file opens, and raises ``OSError`` when its pixels
are asked for unless ``ImageFile.LOAD_TRUNCATED_IMAGES`` is set. Pictures with 16 bits a sample come
out as ``I;16`` if grey; Pillow has no such RGB, so those come out with 8 bits.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

import streamcodec

MAGIC = b"\x89SCF\r\n\x1a\n"
"""What files of streamcodec begin with."""

HEADER = b"scst"
"""What follows the magic, then the version and the kind of the stream."""

KIND_IMAGE = 2

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Mode of each number of planes."""

DEEP_GREY = "I;16"

DEEP_TO_BYTE = 257
"""65535 over 255."""

OPTIONS = ("bpp", "quality", "complexity", "quantizer", "distortion", "tile", "model")
"""What ``save`` hands on to the encoder."""


def _accept(prefix: bytes) -> bool:
    """Whether a file that begins like this is a picture of ours: speech has the same magic."""
    kind = len(MAGIC) + len(HEADER) + 1
    return prefix.startswith(MAGIC + HEADER) and (len(prefix) <= kind or prefix[kind] == KIND_IMAGE)


class SciImageFile(ImageFile.ImageFile):
    """A picture of ours, decoded when its pixels are asked for."""

    format = "SCI"
    format_description = "streamcodec image"

    def _open(self) -> None:
        data = self.fp.read() if self.fp is not None else b""
        try:
            # What is left of a damaged file can be looked at; loading it is another matter.
            self._decoder = streamcodec.ImageDecoder(data, recover=True)
        except streamcodec.errors.FormatError as error:
            raise SyntaxError(str(error)) from error
        self._data = data
        parts = self._decoder.file
        picture = parts.picture
        self._size = (picture.width, picture.height)
        self._mode = MODES[picture.planes]
        if picture.deep and picture.planes == 1:
            self._mode = DEEP_GREY
        if parts.icc_profile:
            self.info["icc_profile"] = parts.icc_profile
        if parts.exif:
            self.info["exif"] = parts.exif

    def load(self) -> Any:
        """Decode, once.

        Raises
        ------
        OSError
            The file is damaged, or its model is not there.
        """
        if self._data:
            try:
                pixels = streamcodec.decode_image(
                    self._data,
                    recover=ImageFile.LOAD_TRUNCATED_IMAGES,
                    # Pillow has compared the size with its own limit when it opened the file.
                    max_pixels=max(1, self.width * self.height),
                )
            except streamcodec.errors.StreamcodecError as error:
                raise OSError(str(error)) from error
            if pixels.dtype == np.uint16 and self.mode != DEEP_GREY:
                pixels = np.round(pixels / DEEP_TO_BYTE).astype(np.uint8)
            self._data = b""
            if self.fp is not None and self._exclusive_fp:
                self.fp.close()
            self.fp = io.BytesIO(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Nothing to seek: the pixels lie in memory."""


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes | os.PathLike[Any]) -> None:
    """Encode a picture; called by ``Image.save``."""
    info = im.encoderinfo
    options = {name: info[name] for name in OPTIONS if name in info}
    exif = info.get("exif", b"")
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    try:
        data = streamcodec.encode_image(
            im, icc_profile=info.get("icc_profile") or b"", exif=exif, **options
        )
    except streamcodec.errors.StreamcodecError as error:
        raise OSError(f"cannot write {im.mode} picture as SCI: {error}") from error
    fp.write(data)


Image.register_open(SciImageFile.format, SciImageFile, _accept)
Image.register_save(SciImageFile.format, _save)
Image.register_extension(SciImageFile.format, ".sci")
Image.register_mime(SciImageFile.format, "image/x-streamcodec")
