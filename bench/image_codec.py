"""What an image codec is to the bench: it sets a picture to a rate, and decodes.

Whatever a codec needs besides happens in here; encoding and decoding are timed around the call.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from PIL import Image

from bench.image_rate import Encoded, Rule, budget_bytes, choose, fit
from bench.pictures import Picture, Pixels


class Chronometer:
    """Processor time, of child processes too, and wall-clock time of a ``with`` block, seconds."""

    cpu_seconds = 0.0
    wall_seconds = 0.0

    def __enter__(self) -> Chronometer:
        self._cpu, self._wall = _processor_seconds(), time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cpu_seconds = _processor_seconds() - self._cpu
        self.wall_seconds = time.perf_counter() - self._wall


def _processor_seconds() -> float:
    # process_time() is the finer clock for this process; os.times() alone knows the children.
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


class ImageCodec(ABC):
    """One image codec at one choice of options.

    Attributes
    ----------
    name : str
        Row name in the table.
    cacheable : bool
        Whether results may be kept between runs.
    """

    name: str
    cacheable: bool = True

    @abstractmethod
    def available(self) -> str | None:
        """Why the codec cannot run on this machine, or ``None`` if it can."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Changes whenever the result may change; only asked of an available codec."""

    @abstractmethod
    def encode_at_rate(self, picture: Picture, bpp: float, rule: Rule) -> Encoded:
        """The file whose size fits ``bpp`` bits a pixel, found as ``rule`` says."""

    @abstractmethod
    def decode(self, data: bytes) -> Pixels:
        """RGB of shape (h, w, 3) from a file."""


class SteppedCodec(ImageCodec):
    """A codec with a quality parameter; remembers what it encoded of the last picture.

    Attributes
    ----------
    settings : sequence of float
        Steps of the quality parameter, from the smallest file to the largest.
    emergency_steps : int
        So many at the beginning are only taken where all others exceed the rate: a mode of the
        codec that is worse at the same size.
    """

    settings: Sequence[float]
    emergency_steps: int = 0

    def __init__(self) -> None:
        self._picture = ""
        self._done: dict[int, Encoded] = {}

    @abstractmethod
    def encode(self, image: Image.Image, setting: float) -> bytes:
        """A file at one setting."""

    def encode_at_rate(self, picture: Picture, bpp: float, rule: Rule) -> Encoded:
        """Search ``settings``."""
        if picture.identity != self._picture:
            self._picture, self._done = picture.identity, {}
        image = Image.fromarray(picture.pixels)

        def encode(step: int) -> Encoded:
            if step not in self._done:
                setting = self.settings[step]
                with Chronometer() as clock:
                    data = self.encode(image, setting)
                self._done[step] = Encoded(data, setting, clock.cpu_seconds, clock.wall_seconds)
            return self._done[step]

        budget = budget_bytes(bpp, picture.area)
        first = self.emergency_steps
        fitted = fit(lambda step: encode(first + step), len(self.settings) - first, budget, rule)
        if fitted.size <= budget or (rule == "nearest" and fitted.setting != self.settings[first]):
            return fitted
        if first == 0:
            return fitted
        return choose([fitted, fit(encode, first, budget, rule)], budget, rule)
