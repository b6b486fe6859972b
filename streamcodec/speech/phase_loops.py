"""The inner loops of :mod:`streamcodec.speech.phase`, compiled.

Every number comes in as an argument: a constant of another module would be frozen into the cached
machine code and stay there after that module has changed. Bands are rows of ``weights``; band
``b`` is zero outside bins ``first[b] ... last[b] - 1``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamcodec.speech.compiled import compiled


@compiled
def multiplicative_updates(
    mel: NDArray[np.float64],
    weights: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    bin_weights: NDArray[np.float64],
    iterations: int,
    negligible: float,
    magnitude: NDArray[np.float64],
) -> None:
    """Solve ``weights @ magnitude = mel`` approximately, every frame (row) by itself."""
    bins = weights.shape[1]
    for frame in range(len(mel)):
        # Start: every bin the mean of its bands' values, each spread evenly over the band.
        for i in range(bins):
            magnitude[frame, i] = 1.0
        for _ in range(iterations + 1):
            gain = np.zeros(bins)
            for band in range(len(weights)):
                total = negligible
                for i in range(first[band], last[band]):
                    total += weights[band, i] * magnitude[frame, i]
                for i in range(first[band], last[band]):
                    gain[i] += weights[band, i] * (mel[frame, band] / total)
            for i in range(bins):
                covered = bin_weights[i] > negligible
                magnitude[frame, i] *= gain[i] / bin_weights[i] if covered else 0.0


@compiled
def advance_phases(
    spectrum: NDArray[np.complex128],
    magnitude: NDArray[np.float64],
    hop_fraction: float,
    start_phases: NDArray[np.complex128],
    negligible: float,
) -> None:
    """Turn a frame's spectrum into a guess of the next one, with the magnitude given.

    Peaks are looked for where both the signal and the next frame have energy.
    """
    bins = len(spectrum)
    level = np.empty(bins)  # logarithm of the product of both magnitudes
    for i in range(bins):
        level[i] = math.log((abs(spectrum[i]) + negligible) * (magnitude[i] + negligible))
    # Bins up to half-way to the next peak belong to a peak.
    peak, turn, done = -1, 1.0 + 0.0j, 0
    for i in range(1, bins):
        at_end = i == bins - 1
        if not at_end and not (level[i] > level[i - 1] and level[i] >= level[i + 1]):
            continue
        border = bins if at_end else (0 if peak < 0 else (peak + i + 1) // 2)
        for j in range(done, border):
            size = abs(spectrum[j])
            phase = spectrum[j] / size if size > negligible else start_phases[j]
            spectrum[j] = magnitude[j] * phase * turn
        if at_end:
            break
        done, peak = border, i
        # A parabola through three logarithms finds the peak between the bins.
        bend = level[i - 1] - 2.0 * level[i] + level[i + 1]
        offset = 0.5 * (level[i - 1] - level[i + 1]) / bend if bend < 0.0 else 0.0
        angle = 2.0 * math.pi * (i + offset) * hop_fraction
        turn = complex(math.cos(angle), math.sin(angle))


@compiled
def impose_magnitude(
    spectra: NDArray[np.complex128],
    previous: NDArray[np.complex128],
    momentum: float,
    mel: NDArray[np.float64],
    magnitude: NDArray[np.float64],
    mel_weight: float,
    weights: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    bin_weights: NDArray[np.float64],
    start_phases: NDArray[np.complex128],
    negligible: float,
) -> None:
    """Extrapolate the spectra and give them the wanted magnitude; ``previous`` is updated."""
    bins = spectra.shape[1]
    size = np.empty(bins)
    gain = np.empty(bins)
    for frame in range(len(spectra)):
        for i in range(bins):
            now = spectra[frame, i]
            ahead = now + momentum * (now - previous[frame, i])
            spectra[frame, i] = ahead
            previous[frame, i] = now
            # Not abs(): its guard against overflow costs more than the rest of the loop.
            size[i] = math.sqrt(ahead.real * ahead.real + ahead.imag * ahead.imag)
            gain[i] = 0.0
        for band in range(len(weights)):
            total = negligible
            for i in range(first[band], last[band]):
                total += weights[band, i] * size[i]
            ratio = mel[frame, band] / total
            for i in range(first[band], last[band]):
                gain[i] += weights[band, i] * ratio
        for i in range(bins):
            if size[i] > negligible:
                scale = mel_weight * gain[i] / (bin_weights[i] + negligible)
                if mel_weight < 1.0:
                    scale += (1.0 - mel_weight) * magnitude[frame, i] / size[i]
                spectra[frame, i] *= scale
            else:
                spectra[frame, i] = magnitude[frame, i] * start_phases[i]


@compiled
def overlap_add(
    pieces: NDArray[np.float64],
    window: NDArray[np.float64],
    inverse_cover: NDArray[np.float64],
    fixed: int,
    signal: NDArray[np.float64],
) -> None:
    """Put windowed pieces together again, leaving the first ``fixed`` samples as they are."""
    hop = (len(signal) - len(window)) // (len(pieces) - 1)
    for s in range(fixed, len(signal)):
        signal[s] = 0.0
    for frame in range(len(pieces)):
        for j in range(len(window)):
            s = frame * hop + j
            if s >= fixed:
                signal[s] += pieces[frame, j] * window[j]
    for s in range(fixed, len(signal)):
        signal[s] *= inverse_cover[s]
