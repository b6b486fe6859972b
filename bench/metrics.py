"""What is measured on a decoded clip: the interface, and the metrics that compare signals.

A metric gives one or more *values* for a clip. The table averages most of them over clips; phone
error rates are sums of errors over sums of phones. ``METRICS`` lists every metric, quick ones
first; those built on trained models are in ``learned_metrics`` and ``phones``.
"""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from functools import cached_property
from importlib import metadata
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.clips import Clip
from bench.signals import SAMPLE_RATE, Sound

Values = dict[str, float]
"""Values of one metric for one clip, by column; NaN where the clip cannot be scored."""

QUICK = ("pesq", "stoi", "mcd")
"""Metrics that take less than a third of a second a clip together."""

LISTENING_LEVEL_DB = -26.0
"""Active level at which metrics without a reference are given the sound, dB full scale."""


class Metric(ABC):
    """One metric.

    Attributes
    ----------
    name : str
        As given on the command line.
    columns : tuple of str
        Values that it gives.
    packages : tuple of str
        Distributions that it needs; their versions are part of the cache key.
    modules : tuple of str
        What is imported from them.
    slow : bool
        Whether a run may restrict it to a fixed subset of clips.
    revision : int
        Counted up when this adapter changes what it measures.
    """

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    packages: ClassVar[tuple[str, ...]]
    modules: ClassVar[tuple[str, ...]]
    slow: ClassVar[bool] = False
    revision: ClassVar[int] = 1

    def available(self) -> str | None:
        """Why the metric cannot run on this machine, or ``None`` if it can."""
        for module, package in zip(self.modules, self.packages, strict=True):
            if importlib.util.find_spec(module) is None:
                return f"no Python package {package} (see bench/requirements.txt)"
        return None

    @cached_property
    def key(self) -> str:
        """Name and everything that decides the values; scores are cached under it."""
        versions = ",".join(f"{name}={metadata.version(name)}" for name in self.packages)
        return f"{self.name}:{self.revision}:{versions}"

    def applies_to(self, clip: Clip) -> bool:
        """Whether the clip can be scored at all."""
        return len(clip.sound) > 0

    def prepare(self) -> None:  # noqa: B027 (most metrics have nothing to load)
        """Load models, once; called before the first clip."""

    @abstractmethod
    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Measure a decoded clip that is aligned with, and as long as, the original."""


def pesq_raw(lqo: float) -> float:
    """P.862 score before the mapping of P.862.1, from the mapped one.

    The inverse of LQO = 0.999 + 4 / (1 + exp(-1.4945 raw + 4.6607)).

    Parameters
    ----------
    lqo : float
        Narrowband MOS-LQO, between 0.999 and 4.999; NaN outside.
    """
    if not 0.999 < lqo < 4.999:
        return math.nan
    return (4.6607 - math.log(4.0 / (lqo - 0.999) - 1.0)) / 1.4945


def pesq_lqo(raw: float) -> float:
    """Narrowband MOS-LQO of a raw P.862 score (ITU-T P.862.1, equation 1)."""
    return 0.999 + 4.0 / (1.0 + math.exp(-1.4945 * raw + 4.6607))


class Pesq(Metric):
    """PESQ: narrowband as raw P.862 score and LQO, wideband (P.862.2) as LQO."""

    name = "pesq"
    columns = ("pesq_nb_raw", "pesq_nb_lqo", "pesq_wb")
    packages = ("pesq",)
    modules = ("pesq",)

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Score at 16 kHz in both modes; NaN where PESQ finds no speech."""
        import pesq

        if not (np.any(clip.sound) and np.any(decoded)):
            return dict.fromkeys(self.columns, math.nan)
        values = []
        for mode in ("nb", "wb"):
            try:
                values.append(float(pesq.pesq(SAMPLE_RATE, clip.sound, decoded, mode)))
            except pesq.PesqError:
                values.append(math.nan)
        return dict(zip(self.columns, (pesq_raw(values[0]), *values), strict=True))


class Stoi(Metric):
    """Short-time objective intelligibility, plain and extended, 0 to 1."""

    name = "stoi"
    columns = ("stoi", "estoi")
    packages = ("pystoi",)
    modules = ("pystoi",)

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Score both forms."""
        from pystoi import stoi

        reference = clip.sound.astype(np.float64)
        degraded = decoded.astype(np.float64)
        return {
            column: float(stoi(reference, degraded, SAMPLE_RATE, extended=column == "estoi"))
            for column in self.columns
        }


class MelCepstralDistortion(Metric):
    """Mel-cepstral distortion in dB: (10 / ln 10) sqrt(2 sum (c_k - c'_k)^2), mean over frames.

    With cepstra as in ln X(w) = c_0 + sum c_k cos(k w), this is the root-mean-square difference of
    the two smoothed spectra in dB.
    Cepstra 1 to 13 of 40 log-mel bands (0 to 8 kHz, magnitude, 40 ms windows every 10 ms).
    Magnitudes are floored 65 dB below the recording's loudest band, or else the emptiness above
    the band limit of a codec would outweigh everything audible. The value depends on all of
    these: compare it within one table only.
    """

    name = "mcd"
    columns = ("mcd",)
    packages = ("librosa",)
    modules = ("librosa",)

    BANDS = 40
    ORDER = 13
    WINDOW = 640
    HOP = 160
    FLOOR_DB = -65.0

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Measure; zero for identical sounds."""
        original, other = self._mel(clip.sound), self._mel(decoded)
        floor = max(float(original.max()) * 10.0 ** (self.FLOOR_DB / 20.0), 1e-9)
        difference = self._cepstrum(original, floor) - self._cepstrum(other, floor)
        per_frame = 10.0 / math.log(10.0) * np.sqrt(2.0 * np.sum(difference**2, axis=0))
        return {"mcd": float(per_frame.mean())}

    def _mel(self, sound: Sound) -> NDArray[np.float32]:
        import librosa

        return librosa.feature.melspectrogram(
            y=sound, sr=SAMPLE_RATE, n_fft=self.WINDOW, hop_length=self.HOP, n_mels=self.BANDS,
            power=1.0,
        )  # fmt: skip

    def _cepstrum(self, mel: NDArray[np.float32], floor: float) -> NDArray[np.float64]:
        """Coefficients 1 to ORDER, shape (ORDER, frames)."""
        from scipy.fft import dct

        log_mel = np.log(np.maximum(mel.astype(np.float64), floor))
        return dct(log_mel, type=2, axis=0)[1 : self.ORDER + 1] / self.BANDS


def all_metrics() -> list[Metric]:
    """Every metric, in the order of the table's columns."""
    from bench.learned_metrics import DistillMos, DnsMos, SpeakerSimilarity, Visqol
    from bench.phones import PhoneErrors

    return [
        Pesq(), Stoi(), Visqol(), DistillMos(), DnsMos(), MelCepstralDistortion(),
        SpeakerSimilarity(), PhoneErrors(),
    ]  # fmt: skip


def choose_metrics(names: str) -> list[Metric]:
    """Metrics named in a comma-separated list; ``all`` and ``quick`` name groups.

    Raises
    ------
    ValueError
        If a name is not known.
    """
    known = all_metrics()
    wanted: set[str] = set()
    for name in filter(None, names.split(",")):
        if name == "all":
            wanted.update(metric.name for metric in known)
        elif name == "quick":
            wanted.update(QUICK)
        elif name in {metric.name for metric in known}:
            wanted.add(name)
        else:
            choices = ", ".join(metric.name for metric in known)
            raise ValueError(f"unknown metric {name!r}: expected all, quick or any of {choices}")
    return [metric for metric in known if metric.name in wanted]
