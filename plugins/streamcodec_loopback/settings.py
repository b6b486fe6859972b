"""What a user may ask of a loopback."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import streamcodec

LOSS_STEPS = (0.0, 5.0, 10.0, 20.0)
"""Percent of loss that the key steps through."""

HIGHEST_COMPLEXITY = 10

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000
"""Rates of sound cards that carry speech, Hz."""

LEAST_LATENCY, MOST_LATENCY = 0.005, 0.5
"""Buffers that may be asked of a device, seconds."""


@dataclass(frozen=True)
class LoopbackSettings:
    """How to run.

    Attributes
    ----------
    bitrate : int
        Average payload aimed at, bit/s.
    complexity : int
        Search budget, 0 ... 10; the deadline takes from it.
    low_delay : bool
        40 ms packets instead of 80 ms.
    vocoder : str
        Way from mel frames to sound.
    bypass : bool
        Begin with the microphone's own sound, delayed as the codec's is.
    loss : float
        Percent of packets lost.
    burst : float or None
        Mean length of a burst of losses in packets; None: each packet by itself.
    seed : int
        Of the loss.
    model : str or Path or None
        Name or folder; None: the default model.
    seconds : float or None
        How long; None: until told to stop.
    rate : int or None
        Of both devices, Hz; None: what suits each best.
    device_latency : float
        Asked of each device, seconds.

    Raises
    ------
    InputError
        A value is out of range; the codec checks what is its own.
    """

    bitrate: int = 2000
    complexity: int = 6
    low_delay: bool = False
    vocoder: str = "griffin-lim"
    bypass: bool = False
    loss: float = 0.0
    burst: float | None = None
    seed: int = 0
    model: str | Path | None = None
    seconds: float | None = None
    rate: int | None = None
    device_latency: float = 0.04

    def __post_init__(self) -> None:
        if self.seconds is not None and not (self.seconds > 0.0 and math.isfinite(self.seconds)):
            raise streamcodec.errors.InputError(
                f"expected --seconds above 0, found {self.seconds:g}"
            )
        if self.rate is not None and not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise streamcodec.errors.InputError(
                f"expected a --rate of {LOWEST_RATE} to {HIGHEST_RATE} Hz, found {self.rate}"
            )
        if not LEAST_LATENCY <= self.device_latency <= MOST_LATENCY:
            raise streamcodec.errors.InputError(
                f"expected a --device-latency of {1e3 * LEAST_LATENCY:g} to "
                f"{1e3 * MOST_LATENCY:g} ms, found {1e3 * self.device_latency:g}"
            )
        if self.seed < 0:
            raise streamcodec.errors.InputError(f"expected a --seed of 0 or more, not {self.seed}")

    @property
    def packet_seconds(self) -> float:
        """Sound in a packet, seconds (the codec's two profiles)."""
        return 0.04 if self.low_delay else 0.08
