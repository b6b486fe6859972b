"""What is done to sound around a measurement: resampling, active level, alignment."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import correlate, fftconvolve, lfilter

SAMPLE_RATE = 16_000
"""Rate of every array that passes between clips, codecs and metrics, Hz."""

INT16_SCALE = 32768.0

# ITU-T P.56, method B.
P56_TIME_CONSTANT = 0.03
P56_HANGOVER = 0.2
P56_MARGIN_DB = 15.9

MAX_DELAY = 0.25
"""Longest delay that alignment looks for, in seconds and both directions."""

ENVELOPE_WINDOW = 0.010
"""Length of the Hann window that smooths the envelope for coarse alignment, seconds."""

FINE_RANGE = 0.004
"""Fine alignment searches this far around the coarse one, seconds: less than a pitch period,
since parametric codecs do not keep the wave form and would lock on to a neighbouring period."""

Sound = NDArray[np.float32]


def resample(sound: Sound, source_rate: int, target_rate: int) -> Sound:
    """Change the sampling rate of ``sound`` (shape (n,)) with linear phase and no delay."""
    if source_rate == target_rate:
        return np.asarray(sound, np.float32)
    return np.asarray(soxr.resample(sound, source_rate, target_rate, "VHQ"), np.float32)


def to_int16(sound: Sound) -> NDArray[np.int16]:
    """Round float samples in [-1, 1] to 16 bits; louder ones are clipped."""
    scaled = np.round(np.asarray(sound, np.float64) * INT16_SCALE)
    return np.clip(scaled, -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def fit_length(sound: Sound, length: int) -> Sound:
    """Cut ``sound`` or append zeros so that it has ``length`` samples."""
    fitted = np.zeros(length, np.float32)
    fitted[: min(length, len(sound))] = sound[:length]
    return fitted


def active_level(sound: Sound) -> float:
    """Active speech level in dB relative to full scale (ITU-T P.56, method B).

    Returns ``-inf`` for silence.
    """
    energy = float(np.sum(np.square(sound, dtype=np.float64)))
    if energy == 0.0:
        return -np.inf
    decay = float(np.exp(-1.0 / (SAMPLE_RATE * P56_TIME_CONSTANT)))
    envelope = np.abs(sound).astype(np.float64)
    for _ in range(2):
        envelope = lfilter([1.0 - decay], [1.0, -decay], envelope)
    # A sample is active while the envelope is above the threshold and for a hangover after that,
    # that is, while the largest envelope value of the last 0.2 s is above it.
    hangover = int(P56_HANGOVER * SAMPLE_RATE)
    held = np.concatenate([np.zeros(hangover), envelope])
    held = maximum_filter1d(held, hangover + 1, origin=hangover // 2)[hangover:]
    thresholds = 2.0 ** np.arange(-15, 0)
    active = len(held) - np.searchsorted(np.sort(held), thresholds)
    usable = active > 0
    levels = 10.0 * np.log10(energy / active[usable])
    margins = levels - 20.0 * np.log10(thresholds[usable])
    # Margins fall as the threshold rises; the level is read where the margin is 15.9 dB.
    return float(np.interp(-P56_MARGIN_DB, -margins, levels))


def set_active_level(sound: Sound, decibels: float = -26.0) -> Sound:
    """Scale ``sound`` to an active level in dB full scale; clip to [-1, 1]; leave silence alone."""
    level = active_level(sound)
    if not np.isfinite(level):
        return sound
    gain = 10.0 ** ((decibels - level) / 20.0)
    return np.clip(sound * np.float32(gain), -1.0, 1.0).astype(np.float32)


def delay_of(degraded: Sound, reference: Sound) -> int:
    """Samples by which ``degraded`` lags behind ``reference`` (negative: it leads).

    Coarse by cross-correlation of smoothed envelopes, then fine by cross-correlation of the wave
    forms within 4 ms of that.
    """
    reach = int(MAX_DELAY * SAMPLE_RATE)
    coarse = _best_lag(_envelope(degraded), _envelope(reference), -reach, reach)
    fine = int(FINE_RANGE * SAMPLE_RATE)
    return _best_lag(degraded, reference, coarse - fine, coarse + fine)


def align(degraded: Sound, reference: Sound) -> Sound:
    """Remove the delay of ``degraded`` against ``reference``; cut or fill to the same length."""
    delay = delay_of(degraded, reference)
    shifted = degraded[delay:] if delay >= 0 else np.pad(degraded, (-delay, 0))
    return fit_length(shifted, len(reference))


def _envelope(sound: Sound) -> NDArray[np.float64]:
    window = np.hanning(int(ENVELOPE_WINDOW * SAMPLE_RATE))
    envelope = fftconvolve(np.abs(sound).astype(np.float64), window, mode="same")
    return envelope - envelope.mean()


def _best_lag(degraded: NDArray, reference: NDArray, low: int, high: int) -> int:
    """Lag in [low, high] at which the cross-correlation is largest."""
    correlation = correlate(
        degraded.astype(np.float64), reference.astype(np.float64), mode="full", method="fft"
    )
    lags = np.arange(len(correlation)) - (len(reference) - 1)
    inside = (lags >= low) & (lags <= high)
    if not inside.any() or not np.any(correlation[inside]):
        return 0
    return int(lags[inside][np.argmax(correlation[inside])])
