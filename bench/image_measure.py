"""The image bench itself: every picture through every codec at every rate, scored and kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from bench.cache import Record, ResultCache
from bench.image_codec import Chronometer, ImageCodec
from bench.image_rate import Rule, budget_bytes
from bench.measure import DIGITS, ClipResult
from bench.metrics import Values
from bench.pictures import Picture, Pixels

TIMES = "times"
"""Key under which the cache holds what every codec gives: setting and wall-clock time."""


HALF_STEP = 1.1
"""What the nearest file may exceed the budget by without being called a miss: the coarsest peers
(AVIF, and x265 tuned for PSNR) have steps of up to 17 % of the size."""


class Score(Protocol):
    """What is measured on a decoded picture."""

    @property
    def key(self) -> str:
        """Name in the cache."""

    def __call__(self, name: str, original: Pixels, decoded: Pixels) -> Values:
        """Values of one picture."""


@dataclass
class PictureResult(ClipResult):
    """One picture through one codec at one rate.

    ``clip`` is the picture's name; ``seconds`` is 0, for a picture has no duration; ``values``
    holds, beside the score: ``pixels``, ``setting``, ``over`` (1 if even the smallest file exceeds
    the rate), ``encode_wall`` and ``decode_wall``.

    Attributes
    ----------
    rate : float
        Bits a pixel that the picture was set to.
    """

    rate: float = 0.0


class ImageBench:
    """Pictures and rates, through which codecs are sent.

    Parameters
    ----------
    pictures : sequence of Picture
        What to encode.
    rates : sequence of float
        Bits a pixel.
    rule : {"below", "nearest"}
        How a picture is set to a rate.
    score : callable
        What is measured.
    cache : ResultCache
        Where results are kept.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        rates: Sequence[float],
        rule: Rule,
        score: Score,
        cache: ResultCache,
    ) -> None:
        self.pictures = pictures
        self.rates = rates
        self.rule = rule
        self.score = score
        self.cache = cache

    def run(self, codecs: Sequence[ImageCodec]) -> list[PictureResult]:
        """Measure; shows progress on the error stream."""
        results = []
        total = len(codecs) * len(self.pictures) * len(self.rates)
        with tqdm(total=total, unit="picture", smoothing=0.05) as progress:
            for codec in codecs:
                progress.set_description(codec.name)
                known = self.cache.load(codec)
                warm = False
                # Rates inside pictures: a codec remembers what it tried on the last picture.
                for picture in self.pictures:
                    for rate in self.rates:
                        record = known.get(self._key(picture, rate))
                        if record is None or self.score.key not in record.scores:
                            if not warm:
                                self._warm_up(codec)
                                warm = True
                            results.append(self._measure(codec, picture, rate))
                        else:
                            results.append(self._result(codec, picture, rate, record))
                        progress.update()
        return results

    def _key(self, picture: Picture, rate: float) -> str:
        return f"{picture.identity}@{rate:g}:{self.rule}"

    def _warm_up(self, codec: ImageCodec) -> None:
        """A corner of a picture that is not measured: no clock includes loading or compiling."""
        first = self.pictures[0]
        corner = Picture("warm-up", first.pixels[:64, :64].copy())
        try:
            codec.decode(codec.encode_at_rate(corner, max(self.rates), self.rule).data)
        except Exception:
            return  # the measured pictures will tell

    def _measure(self, codec: ImageCodec, picture: Picture, rate: float) -> PictureResult:
        try:
            encoded = codec.encode_at_rate(picture, rate, self.rule)
            with Chronometer() as decoding:
                decoded = codec.decode(encoded.data)
            if decoded.shape != picture.pixels.shape:
                raise ValueError(
                    f"decoded to shape {decoded.shape}, expected {picture.pixels.shape}"
                )
        except Exception as error:  # a codec that fails on a picture is a result, too
            message = f"{type(error).__name__}: {error}"
            return PictureResult(codec.name, picture.name, 0.0, errors=[message], rate=rate)
        values = self.score(picture.name, picture.pixels, decoded)
        times = {
            "setting": encoded.setting,
            "encode_wall": encoded.wall_seconds,
            "decode_wall": decoding.wall_seconds,
        }
        record = Record(
            self._key(picture, rate),
            8 * encoded.size,
            encoded.cpu_seconds,
            decoding.cpu_seconds,
            {
                TIMES: {key: round(value, DIGITS) for key, value in times.items()},
                self.score.key: {key: _rounded(value) for key, value in values.items()},
            },
        )
        self.cache.append(codec, record)
        return self._result(codec, picture, rate, record)

    def _is_over(self, picture: Picture, rate: float, record: Record) -> bool:
        """Whether the rate was missed because even the smallest file exceeds it."""
        margin = HALF_STEP if self.rule == "nearest" else 1.0
        return record.bits > 8 * margin * budget_bytes(rate, picture.area)

    def _result(
        self, codec: ImageCodec, picture: Picture, rate: float, record: Record
    ) -> PictureResult:
        return PictureResult(
            codec.name,
            picture.name,
            0.0,
            record.bits,
            record.encode_seconds,
            record.decode_seconds,
            record.scores[TIMES]
            | record.scores[self.score.key]
            | {"pixels": float(picture.area), "over": float(self._is_over(picture, rate, record))},
            rate=rate,
        )


def _rounded(value: float) -> float:
    return round(value, DIGITS) if math.isfinite(value) else value
