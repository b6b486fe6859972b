"""Image decoder: bytes in, pixels out, strip by strip.

A tile's symbols decode by themselves. Pixels depend on the latents around them too, so the
generator runs on windows with its halo: what comes out is what the whole picture at once would
give, to rounding, and shows no seams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import CorruptPacketError, InputError, ModelMismatchError
from streamcodec.image.drawing import Drawing
from streamcodec.image.header import parse_alpha
from streamcodec.image.layout import ImageFile, parse_image
from streamcodec.image.model import ImageModel, load_image_model
from streamcodec.image.tile_cache import TileCache
from streamcodec.image.tiles import Box, divided
from streamcodec.nn.image import COLOURS, STRIDE

Region = tuple[int, int, int, int]
"""Pixels ``(x0, y0, x1, y1)``, the last ones not included."""

Progress = Callable[[float, float | None], None]
"""Called with pixels done and pixels in all."""

MAX_PIXELS = 1 << 28
"""Pixels that are decoded unless a caller allows more: 268 megapixels, 0.8 GB of RGB."""

WINDOW = 64
"""Positions along the side of what the generator draws at once. Its halo makes the arithmetic 1.4
times that of the picture; larger windows would take more memory than they save time."""


class ImageDecoder:
    """Decodes one picture, or parts of it.

    Parameters
    ----------
    data
        The bytes of an image file.
    recover
        Decode what is left of a damaged file; tiles that are lost come out flat.
    model
        Name or folder of a model, or a loaded one; the default model if omitted.
    realism
        0 to 1, see :func:`decode_image`.

    Attributes
    ----------
    file : ImageFile
    lost_tiles : set of int
        Numbers of tiles (so far decoded) that were lost or damaged.

    Raises
    ------
    FormatError
        It is no image file of ours, or damaged and `recover` is not set.
    """

    def __init__(
        self,
        data: bytes,
        *,
        recover: bool = False,
        model: str | Path | ImageModel | None = None,
        realism: float = 0.0,
    ) -> None:
        self.file: ImageFile = parse_image(bytes(data), recover=recover)
        self._wanted = model
        self._realism = realism
        self.recover = recover
        self.lost_tiles: set[int] = set()

    @cached_property
    def model(self) -> ImageModel:
        """The model, loaded when it is first needed.

        Raises
        ------
        ModelMismatchError
            The file was made with another model.
        ModelError
            The model is missing or damaged.
        """
        model = load_image_model(self._wanted)
        made_with = self.file.stream.identity
        if made_with != model.identity:
            raise ModelMismatchError(
                f"the picture was made with model {made_with.hex()}, but the model loaded is "
                f"{model.name} ({model.identity.hex()}); load the picture's"
            )
        return model

    @cached_property
    def drawing(self) -> Drawing:
        """What draws.

        Raises
        ------
        InputError
            The model cannot draw with such realism.
        ModelError
            The model is missing, damaged, or not the one that made the file.
        """
        return self.model.drawn_with(self._realism)

    @cached_property
    def tiles(self) -> TileCache:
        """The tiles' latents.

        Raises
        ------
        ModelError
            The model is missing, damaged, or not the one that made the file.
        """
        return TileCache(self.file, self.model, self.lost_tiles, recover=self.recover)

    def strips(
        self,
        region: Region | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
        progress: Progress | None = None,
    ) -> Iterator[NDArray[np.unsignedinteger]]:
        """Decode the picture or a region of it, from the top down.

        Yields
        ------
        ``(rows, w, planes)`` uint8 or uint16: grey or RGB, then alpha.

        Raises
        ------
        InputError
            The region does not lie in the picture, or holds more than ``max_pixels``.
        FormatError
            A tile is damaged and ``recover`` is not set.
        """
        pixels = self.box_of(region, max_pixels)
        positions = pixels.reduced(STRIDE)
        dtype = self.file.picture.dtype
        windows = divided(positions, WINDOW)
        begin = 0
        done = 0
        while begin < len(windows):
            row = [w for w in windows[begin:] if w.y0 == windows[begin].y0]
            begin += len(row)
            self.tiles.forget_above(row[0].y0 - self.drawing.halo)
            strip = row[0].scaled(STRIDE).common(pixels)
            rows = np.empty((strip.height, pixels.width, self.file.picture.planes), dtype)
            for window in row:
                part = window.scaled(STRIDE).common(pixels)
                target = rows[:, part.x0 - pixels.x0 : part.x1 - pixels.x0]
                self._draw(window, part, target)
                done += part.area
                if progress is not None:
                    progress(done, pixels.area)
            yield rows

    def box_of(self, region: Region | None, max_pixels: int = MAX_PIXELS) -> Box:
        """The pixels of a region, or of the whole picture.

        Raises
        ------
        InputError
            The region does not lie in the picture, or holds more than ``max_pixels``.
        """
        whole = self.file.grid.pixels
        if region is None:
            box = whole
        else:
            x0, y0, x1, y1 = region
            box = Box(y0, y1, x0, x1)
            if not (0 <= x0 < x1 <= whole.width and 0 <= y0 < y1 <= whole.height):
                raise InputError(
                    f"expected a region (x0, y0, x1, y1) inside {whole.width} x {whole.height} "
                    f"pixels, found {region}"
                )
        if box.area > max_pixels:
            raise InputError(
                f"{box.width} x {box.height} pixels are more than the limit of {max_pixels}; "
                "raise max_pixels if you trust the file, or decode a region"
            )
        return box

    def _draw(self, window: Box, part: Box, target: NDArray[np.unsignedinteger]) -> None:
        """Decode the pixels ``part`` of a window into ``target``."""
        picture = self.file.picture
        bounds = self.file.grid.bounds
        around = window.grown(self.drawing.halo, bounds)
        latents = self.tiles.latents(around)
        drawn = self.drawing.draw(latents, around)
        inside = part.within(around.scaled(STRIDE)).slices
        drawn = drawn[(slice(None), *inside)]
        if not picture.colour:
            drawn = drawn.mean(dim=0, keepdim=True)
        samples = drawn.clamp(0.0, 1.0).mul_(picture.peak).round_()
        colours = COLOURS if picture.colour else 1
        target[:, :, :colours] = samples.permute(1, 2, 0).numpy().astype(picture.dtype)
        if picture.alpha:
            self._draw_alpha(part, target[:, :, -1])

    def _draw_alpha(self, part: Box, target: NDArray[np.unsignedinteger]) -> None:
        """Decode alpha; where it is lost the picture is opaque."""
        picture, grid = self.file.picture, self.file.grid
        for number in grid.touching(part.reduced(STRIDE)):
            tile = grid[number].scaled(STRIDE).common(grid.pixels)
            shared = tile.common(part)
            place = target[shared.within(part).slices]
            try:
                plane = parse_alpha(
                    self.file.alpha.get(number, b""), tile.height, tile.width, picture.dtype
                )
                place[:] = plane[shared.within(tile).slices]
            except CorruptPacketError:
                if not self.recover:
                    raise
                self.lost_tiles.add(number)
                place[:] = picture.peak


def decode_image(
    data: bytes,
    region: Region | None = None,
    *,
    recover: bool = False,
    max_pixels: int = MAX_PIXELS,
    model: str | Path | ImageModel | None = None,
    realism: float = 0.0,
    progress: Progress | None = None,
) -> NDArray[np.unsignedinteger]:
    """Decode a picture.

    Parameters
    ----------
    data : bytes
        What :func:`streamcodec.encode_image` made.
    region : tuple of int, optional
        ``(x0, y0, x1, y1)`` in pixels, the last ones not included: only the tiles that it
        touches (or comes near) are decoded.
    recover : bool
        Decode what is left of a damaged file; tiles that are lost come out flat.
    max_pixels : int
        Pixels that may be decoded at most; a file of some bytes can announce any number.
    model : str or Path, optional
        Name or folder of a model; the default model if omitted.
    realism : float
        0 draws what is least far from the picture that was encoded. At 1 details that the file
        does not tell are made up such that they look real: sharper, and farther off. In between
        is in between. Needs a model that can.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Returns
    -------
    ndarray
        ``(h, w)`` grey, ``(h, w, 2)`` grey and alpha, ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGB and
        alpha; uint8 or uint16 as it was encoded. EXIF orientation is not applied.

    Raises
    ------
    FormatError
        It is no image file of ours, or damaged and `recover` is not set.
    InputError
        The region does not lie in the picture, it is larger than ``max_pixels``, or the model
        cannot draw with such realism.
    ModelError
        The model is missing, damaged, or not the one that made the file.
    """
    decoder = ImageDecoder(data, recover=recover, model=model, realism=realism)
    box = decoder.box_of(region, max_pixels)
    picture = decoder.file.picture
    pixels = np.empty((box.height, box.width, picture.planes), picture.dtype)
    row = 0
    for strip in decoder.strips(region, max_pixels=max_pixels, progress=progress):
        pixels[row : row + len(strip)] = strip
        row += len(strip)
    return pixels[:, :, 0] if picture.planes == 1 else pixels
