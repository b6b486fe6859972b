"""What a caller may choose when a picture is encoded."""

from __future__ import annotations

from dataclasses import dataclass

from streamcodec.core.distortion import Distortion
from streamcodec.core.search import QUANTIZERS, Budget
from streamcodec.errors import InputError
from streamcodec.image.distortion import named_distortion
from streamcodec.image.rate import HIGHEST_BPP, LOWEST_BPP
from streamcodec.image.tiles import DEFAULT_TILE
from streamcodec.nn.image import STRIDE

BUDGETS = tuple(Budget(n) for n in (0, 4, 8, 12, 16, 24, 32, 48, 80, 160, 400))
"""Search budget of each complexity, 0 to 10. Trying single symbols through the generator, as
speech does, is out of proportion for a hundred thousand of them."""

DEFAULT_QUALITY = 50.0
"""Where neither a rate nor a quality is asked for."""

LARGEST_TILE = 255 * STRIDE
"""Pixels along the side of the largest tile: its positions are one byte of the stream header."""


@dataclass(frozen=True)
class EncoderSettings:
    """How to encode a picture; see :func:`streamcodec.encode_image`."""

    bpp: float | None = None
    quality: float | None = None
    complexity: int = 6
    quantizer: str = "admm"
    distortion: str | Distortion = "mse"
    tile: int = DEFAULT_TILE * STRIDE

    def __post_init__(self) -> None:
        if self.bpp is not None and self.quality is not None:
            raise InputError("give a rate (bpp) or a quality, not both")
        if self.bpp is not None and not LOWEST_BPP <= self.bpp <= HIGHEST_BPP:
            raise InputError(f"bpp must be {LOWEST_BPP} to {HIGHEST_BPP}, not {self.bpp!r}")
        if self.quality is not None and not 0 <= self.quality <= 100:
            raise InputError(f"quality must be 0 to 100, not {self.quality!r}")
        if not (isinstance(self.complexity, int) and 0 <= self.complexity < len(BUDGETS)):
            raise InputError(f"complexity must be 0 to {len(BUDGETS) - 1}, not {self.complexity!r}")
        if self.quantizer not in QUANTIZERS:
            raise InputError(f"quantizer must be one of {QUANTIZERS}, not {self.quantizer!r}")
        if self.tile % STRIDE or not STRIDE <= self.tile <= LARGEST_TILE:
            raise InputError(
                f"the side of a tile must be a multiple of {STRIDE} up to {LARGEST_TILE} pixels, "
                f"not {self.tile!r}"
            )
        named_distortion(self.distortion)
