"""What a caller may choose when a picture is encoded."""

from __future__ import annotations

from dataclasses import dataclass

from streamcodec.core.distortion import Distortion
from streamcodec.core.search import QUANTIZERS as CORE_QUANTIZERS
from streamcodec.core.search import Budget
from streamcodec.errors import InputError
from streamcodec.image.distortion import named_distortion
from streamcodec.image.rate import HIGHEST_BPP, LOWEST_BPP
from streamcodec.image.tiles import LARGEST_SIDE, default_side
from streamcodec.nn.image import STRIDE

ANNEALED = "annealed"
QUANTIZERS = (ANNEALED, *CORE_QUANTIZERS)
"""How latents become integers: by annealing (:mod:`streamcodec.core.annealing`), or as in the
search of speech."""

STEP_SIZE, RHO = 0.06, 10.0
"""Of the gradient steps of ADMM and uniform rounding. The distance is curved by some 10 bits a
squared unit, so a pull to the lattice that is to be felt must be larger than that of speech."""

OTHER_PASSES = 2
"""Passes besides gradient steps and rounds: one for the curvature, one at the first point."""


@dataclass(frozen=True)
class ImageBudget:
    """How hard to search a window.

    Attributes
    ----------
    steps : Budget
        Gradient steps off the lattice: annealed, by ADMM or freely.
    rounds : int
        Rounds of the descent on the lattice.
    """

    steps: Budget
    rounds: int

    @property
    def passes(self) -> int:
        """Passes through the generator and back that all this takes; 0 is no search."""
        total = self.steps.iterations + self.rounds
        return total + OTHER_PASSES if total else 0


def _budget(iterations: int, rounds: int) -> ImageBudget:
    return ImageBudget(Budget(iterations, step_size=STEP_SIZE, rho=RHO), rounds)


BUDGETS = (
    _budget(0, 0),
    _budget(0, 3),
    _budget(0, 6),
    _budget(8, 1),
    _budget(12, 1),
    _budget(16, 1),
    _budget(24, 1),
    _budget(40, 2),
    _budget(80, 4),
    _budget(160, 6),
    _budget(320, 8),
)
"""Search budget of each complexity, 0 to 10. Behind annealing few rounds are enough. Trying single
symbols through the generator, as speech does, is out of proportion for a hundred thousand of them.
"""

DEFAULT_QUALITY = 50.0
"""Where neither a rate nor a quality is asked for."""

LARGEST_TILE = LARGEST_SIDE * STRIDE
"""Pixels along the side of the largest tile."""


@dataclass(frozen=True)
class EncoderSettings:
    """How to encode a picture; see :func:`streamcodec.encode_image`."""

    bpp: float | None = None
    quality: float | None = None
    complexity: int = 6
    quantizer: str = ANNEALED
    distortion: str | Distortion | None = None
    tile: int | None = None

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
        if self.tile is not None and (
            self.tile % STRIDE or not STRIDE <= self.tile <= LARGEST_TILE
        ):
            raise InputError(
                f"the side of a tile must be a multiple of {STRIDE} up to {LARGEST_TILE} pixels, "
                f"not {self.tile!r}"
            )
        if self.distortion is not None:
            named_distortion(self.distortion)

    def tile_side(self, height: int, width: int) -> int:
        """Positions along the side of a tile of a picture in pixels."""
        return default_side(height, width) if self.tile is None else self.tile // STRIDE
