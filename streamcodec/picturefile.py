"""Pictures on disk: what ``imagefiles`` needs to read and write them.

Pillow reads the usual formats. It decodes a picture as a whole, so reading takes as much memory
as the picture has pixels; beyond that only rectangles are converted. PNG is written row by row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .image.header import PictureHeader
from .image.picture import Picture
from .image.pillow_picture import picture_of
from .png import PngWriter

STILL_FORMATS = ("MPO",)
"""Formats that count previews and second views as frames; the first is the picture."""

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError)
"""What Pillow's decoders raise at damaged files."""


def pillow() -> ModuleType:
    """Pillow's module ``Image``.

    Raises
    ------
    InputError
        Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            "picture files need Pillow: pip install 'streamcodec[image]'; encode_image and "
            "decode_image work on arrays without it"
        ) from error
    return Image


@contextmanager
def open_picture(path: Path) -> Iterator[Picture]:
    """Open a picture in any format that Pillow reads.

    Raises
    ------
    OSError
        The file does not exist or may not be read.
    InputError
        It is no picture, damaged, an animation, beyond Pillow's limit of pixels, or of a kind
        that cannot be encoded; or Pillow is missing.
    """
    image_module = pillow()
    with path.open("rb") as file, ExitStack() as stack:
        try:
            image = stack.enter_context(image_module.open(file))
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format not in STILL_FORMATS:
                raise InputError(f"{path} has {frames} frames; only still pictures can be encoded")
            image.load()
            picture = picture_of(image)
        except image_module.DecompressionBombError as error:
            raise InputError(
                f"{path}: {error}; raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
            ) from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except PILLOW_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(f"{path} is no picture that can be read: {error}") from error
        yield picture


class PictureWriter:
    """Writes a decoded picture; a context manager that ends the file when all went well.

    Parameters
    ----------
    path : Path
        Where to write.
    suffix : str
        Format: ".png" is written row by row; all others through Pillow, as a whole.
    width, height : int
        Pixels.
    header : PictureHeader
        Kind of the samples.
    icc_profile, exif : bytes
        Stored with the picture.

    Raises
    ------
    InputError
        The format is unknown, or holds no such picture.
    """

    def __init__(
        self,
        path: Path,
        suffix: str,
        width: int,
        height: int,
        header: PictureHeader,
        icc_profile: bytes,
        exif: bytes,
    ) -> None:
        self._profiles = {
            name: data for name, data in (("icc_profile", icc_profile), ("exif", exif)) if data
        }
        self._path = path
        self._suffix = suffix.lower()
        check_output(self._suffix, header)
        self._rows: list[NDArray[np.unsignedinteger]] = []
        self._file = path.open("wb")
        self._png: PngWriter | None = None
        if self._suffix == ".png":
            self._png = PngWriter(
                self._file, width, height, header.planes, deep=header.deep,
                icc_profile=icc_profile, exif=exif,
            )  # fmt: skip

    def write(self, rows: NDArray[np.unsignedinteger]) -> None:
        """Append some rows ``(n, width, planes)``."""
        if self._png is not None:
            self._png.write(rows)
        else:
            self._rows.append(rows)

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is not None:
                return
            if self._png is not None:
                self._png.finish()
                return
            image_module = pillow()
            pixels = np.concatenate(self._rows)
            image = image_module.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            try:
                image.save(
                    self._file,
                    format=image_module.registered_extensions()[self._suffix],
                    **self._profiles,
                )
            except (OSError, ValueError, KeyError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise InputError(
                    f"pictures of this kind cannot be written as {self._suffix}: {error}; use .png"
                ) from error


def check_output(suffix: str, header: PictureHeader | None = None) -> None:
    """Refuse a format that cannot be written, before any work is done.

    Raises
    ------
    InputError
        The suffix is unknown, or the format holds no such picture.
    """
    suffix = suffix.lower()
    if suffix == ".png":
        return
    image_module = pillow()
    image_module.init()
    name = image_module.registered_extensions().get(suffix)
    if name is None or name not in image_module.SAVE:
        raise InputError(f"cannot write pictures as {suffix or 'a file without suffix'}; use .png")
    if header is not None and header.deep:
        raise InputError("pictures with 16 bits a sample are written as .png only")
