"""Encoding a picture in memory by one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from streamcodec.core.distortion import Distortion
from streamcodec.image.decoder import Progress
from streamcodec.image.encoder import PictureEncoder
from streamcodec.image.model import ImageModel
from streamcodec.image.picture import ArrayPicture, Picture
from streamcodec.image.pillow_picture import picture_of
from streamcodec.image.settings import ANNEALED, EncoderSettings

if TYPE_CHECKING:
    from PIL import Image


def encode_image(
    pixels: NDArray[np.generic] | Image.Image,
    *,
    bpp: float | None = None,
    quality: float | None = None,
    complexity: int = 6,
    quantizer: str = ANNEALED,
    distortion: str | Distortion | None = None,
    tile: int | None = None,
    icc_profile: bytes = b"",
    exif: bytes = b"",
    model: str | Path | ImageModel | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    pixels : ndarray or PIL.Image.Image
        ``(h, w)`` grey, ``(h, w, 2)`` grey and alpha, ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGB and
        alpha; uint8, uint16, or float in 0..1, which is taken as 16 bit. Alpha is kept losslessly.
        A picture of Pillow's brings its ICC profile and EXIF along.
    bpp : float, optional
        Bits a pixel that the file comes to, or a little less; alpha, ICC profile and EXIF do not
        count. A picture so small or plain that it cannot be met comes as near as it can.
    quality : float, optional
        0 to 100, in place of a rate; 50 if neither is given.
    complexity : int
        0 (the encoder network's guess alone) to 10; sets the search budget.
    quantizer : {"annealed", "admm", "uniform"}
        How the searched latents become integers.
    distortion : str or callable, optional
        What the search calls close: ``"mse"``, ``"luma"`` (squared error that favours luma, as
        other codecs do), ``"ms-ssim"``; what the model was made for if omitted; or any
        ``distortion(pictures (n, 3, h, w), target (1, 3, h, w)) -> (n,)`` on values in 0..1.
    tile : int, optional
        Pixels along the side of a tile, a multiple of 16: smaller ones make small regions quicker
        to decode and cost some bits. 512 if omitted; half a megapixel or less is one tile.
    icc_profile, exif : bytes
        Kept as they are.
    model : str or Path, optional
        Name or folder of a model; the default model if omitted.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Returns
    -------
    bytes
        An image file, for :func:`streamcodec.decode_image`.

    Raises
    ------
    InputError
        The pixels are no picture, or a setting is out of range.
    ModelError
        The model is missing or damaged.
    """
    settings = EncoderSettings(bpp, quality, complexity, quantizer, distortion, tile)
    picture: Picture
    if hasattr(pixels, "getexif"):
        picture = picture_of(cast("Image.Image", pixels))
        picture.icc_profile = icc_profile or picture.icc_profile
        picture.exif = exif or picture.exif
    else:
        picture = ArrayPicture(np.asarray(pixels), icc_profile=icc_profile, exif=exif)
    return b"".join(PictureEncoder(picture, settings, model=model, progress=progress).pieces())
