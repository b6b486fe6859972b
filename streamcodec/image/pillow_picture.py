"""Pictures that Pillow holds, as the encoder takes them. Pillow itself is not imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError
from streamcodec.image.header import PictureHeader
from streamcodec.image.picture import DEEP_PEAK, ArrayPicture, Picture
from streamcodec.image.tiles import Box

if TYPE_CHECKING:
    from PIL import Image

DIRECT_MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
"""Modes of Pillow whose samples are taken as they are, and their planes."""

CONVERTED_MODES = {
    "1": "L",
    "La": "LA",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
"""Modes that another can hold without loss, or nearly."""

DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Grey with more than 8 bits; pictures of mode I must fit 16."""


class PillowPicture:
    """A picture that Pillow holds, as the encoder takes it.

    Parameters
    ----------
    image : PIL.Image.Image

    Raises
    ------
    InputError
        Its mode cannot be encoded; the message says what to do.
    """

    def __init__(self, image: Image.Image) -> None:
        mode = image.mode
        if mode == "P" or (mode in ("L", "RGB") and "transparency" in image.info):
            clear = "transparency" in image.info
            mode = ("LA" if image.mode == "L" else "RGBA") if clear else "RGB"
        mode = CONVERTED_MODES.get(mode, mode)
        if mode not in DIRECT_MODES:
            raise InputError(
                f"pictures of mode {image.mode} cannot be encoded: convert it to RGB first (CMYK "
                "and LAB with the colour management that you trust)"
            )
        self._image = image
        self._mode = mode
        planes = DIRECT_MODES[mode]
        self.header = PictureHeader(
            width=image.width, height=image.height, colour=planes >= 3, alpha=planes in (2, 4)
        )
        self.icc_profile = profile_of(image)
        self.exif = exif_of(image)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Samples ``(h, w, planes)`` of a rectangle of pixels."""
        part = self._image.crop((box.x0, box.y0, box.x1, box.y1))
        if part.mode != self._mode:
            if "transparency" in self._image.info:
                part.info["transparency"] = self._image.info["transparency"]
            part = part.convert(self._mode)
        return np.asarray(part).reshape(box.height, box.width, DIRECT_MODES[self._mode])


def profile_of(image: Image.Image) -> bytes:
    """ICC profile of a picture, empty if it has none."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else b""


def exif_of(image: Image.Image) -> bytes:
    """EXIF block of a picture, orientation in it; empty if it has none."""
    stored = image.info.get("exif")
    if isinstance(stored, bytes) and stored:
        return stored
    exif = image.getexif()
    return exif.tobytes() if len(exif) else b""


def picture_of(image: Image.Image) -> Picture:
    """What the encoder takes of a picture that Pillow has loaded.

    Raises
    ------
    InputError
        It cannot be encoded.
    """
    if image.width < 1 or image.height < 1:
        raise InputError(f"expected a picture with pixels, found {image.width} x {image.height}")
    if image.mode not in DEEP_MODES:
        return PillowPicture(image)
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > DEEP_PEAK:
        raise InputError("expected grey samples of 0..65535, found others; scale the picture")
    return ArrayPicture(
        samples.astype(np.uint16), icc_profile=profile_of(image), exif=exif_of(image)
    )
