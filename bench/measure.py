"""The run itself: every clip through every codec, every metric on what comes back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from tqdm import tqdm

from bench.cache import Record, ResultCache
from bench.clips import Clip
from bench.metrics import Metric, Values
from bench.peers import Codec
from bench.signals import SAMPLE_RATE, align

DIGITS = 6
"""Decimals kept of a value: STOI adds noise at the 16th, and nobody reads further."""


@dataclass
class ClipResult:
    """One clip through one codec.

    Attributes
    ----------
    codec, clip : str
        Names.
    seconds : float
        Duration of the clip.
    bits : int
        Payload; 0 if the codec failed.
    encode_seconds, decode_seconds : float
        Processor time.
    values : dict
        Of all metrics, by column; a metric that was not asked for this clip is missing.
    errors : list of str
        What the codec or a metric had to say instead of a result.
    """

    codec: str
    clip: str
    seconds: float
    bits: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    values: Values = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the codec gave nothing back."""
        return self.bits == 0 and bool(self.errors)


class Bench:
    """Clips and metrics, through which codecs are sent.

    Parameters
    ----------
    clips : list of Clip
        Recordings.
    metrics : list of Metric
        Available ones; each is prepared when it is first needed.
    slow_subset : set of str
        Identities of the clips that slow metrics are measured on.
    cache : ResultCache
        Where results of codecs that do not change are kept.
    """

    def __init__(
        self, clips: list[Clip], metrics: list[Metric], slow_subset: set[str], cache: ResultCache
    ) -> None:
        self.clips = clips
        self.metrics = metrics
        self.slow_subset = slow_subset
        self.cache = cache
        self._prepared: set[str] = set()

    def run(self, codecs: Iterable[Codec]) -> list[ClipResult]:
        """Measure; shows progress on the error stream."""
        codecs = list(codecs)
        results = []
        with tqdm(total=len(codecs) * len(self.clips), unit="clip", smoothing=0.05) as progress:
            for codec in codecs:
                progress.set_description(codec.name)
                known = self.cache.load(codec)
                warm = False
                for clip in self.clips:
                    wanted = self._metrics_for(clip)
                    record = known.get(clip.identity)
                    if record is None or any(m.key not in record.scores for m in wanted):
                        if not warm:
                            self._warm_up(codec, clip)
                            warm = True
                        results.append(self._measure(codec, clip, wanted, record))
                    else:
                        results.append(_result(codec, clip, wanted, record))
                    progress.update()
        return results

    def _metrics_for(self, clip: Clip) -> list[Metric]:
        slow_too = clip.identity in self.slow_subset
        return [m for m in self.metrics if (slow_too or not m.slow) and m.applies_to(clip)]

    def _warm_up(self, codec: Codec, clip: Clip) -> None:
        """One second that is not measured, so that nobody's clock includes compiling or loading."""
        try:
            codec.transcode(clip.sound[:SAMPLE_RATE])
        except Exception:
            return  # the measured clips will tell

    def _measure(
        self, codec: Codec, clip: Clip, wanted: list[Metric], known: Record | None
    ) -> ClipResult:
        try:
            coded = codec.transcode(clip.sound)
        except Exception as error:  # a codec that fails on a clip is a result, too
            return ClipResult(codec.name, clip.name, clip.seconds, errors=[_describe(error)])
        record = known or Record(
            clip.identity, coded.bits, coded.encode_seconds, coded.decode_seconds
        )
        decoded = align(coded.sound, clip.sound)
        errors = []
        for metric in wanted:
            if metric.key in record.scores:
                continue
            if metric.name not in self._prepared:
                metric.prepare()
                self._prepared.add(metric.name)
            try:
                values = metric.score(clip, decoded)
            except Exception as error:  # hours of other results must not be lost with it
                errors.append(f"{metric.name}: {_describe(error)}")
                continue
            record.scores[metric.key] = {key: round(v, DIGITS) for key, v in values.items()}
        self.cache.append(codec, record)
        result = _result(codec, clip, wanted, record)
        result.errors = errors
        return result


def _result(codec: Codec, clip: Clip, wanted: list[Metric], record: Record) -> ClipResult:
    values: Values = {}
    for metric in wanted:
        values |= record.scores.get(metric.key, dict.fromkeys(metric.columns, math.nan))
    return ClipResult(
        codec.name,
        clip.name,
        clip.seconds,
        record.bits,
        record.encode_seconds,
        record.decode_seconds,
        values,
    )


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
