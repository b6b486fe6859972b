"""Make decoded sound a little longer or shorter without a change of pitch.

A period of the voice is repeated or left out where the signal resembles itself best one period
on, and the seam is cross-faded: synchronized overlap-add on a single frame (S. Roucos and A. M.
Wilgus, "High quality time-scale modification for speech", ICASSP 1985; W. Verhelst and M.
Roelands, "An overlap-add technique based on waveform similarity (WSOLA)", ICASSP 1993). The first
and the last samples of a frame stay what they are, so that frames still fit together.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SHORTEST, LONGEST = 40, 240
"""Samples at 16 kHz that are put in or left out at once: periods of 400 to 67 Hz. A multiple of
a short period is as good as the period."""

TEMPLATE = 160
"""Samples that are compared: a period of most voices, half of one of the lowest."""

PLACE_STEP = 40
"""Samples between the places at which a seam is tried."""

LEAST_LIKENESS = 0.75
"""Correlation below which a seam would be heard, unless it is too quiet for that."""

QUIET = 1e-3
"""Root mean square, of full scale, below which any seam will do: 60 dB under."""

Sound = NDArray[np.float32]


def stretched(sound: Sound, samples: int) -> Sound:
    """Change the length of a frame by about ``samples``.

    Parameters
    ----------
    sound : ndarray, shape (n,), float32
        At 16 kHz.
    samples : int
        To be put in, or left out if negative. At most this many are, in whole periods; where the
        signal does not resemble itself, fewer or none.

    Returns
    -------
    ndarray, shape (m,), float32
        ``m`` lies between ``n`` and ``n + samples``.
    """
    left = abs(samples)
    while left >= SHORTEST:
        seam = _best_seam(sound, min(left, LONGEST))
        if seam is None:
            break
        place, lag = seam
        sound = _with_seam(sound, place, lag, longer=samples > 0)
        left -= lag
    return sound


def _best_seam(sound: Sound, longest: int) -> tuple[int, int] | None:
    """Where and how far on the signal resembles itself best: (place, lag), or None."""
    size = TEMPLATE + longest
    places = range(0, len(sound) - longest - size, PLACE_STEP)
    if not places:
        return None
    sound = sound.astype(np.float64)
    best = (LEAST_LIKENESS, 0, 0)
    for place in places:
        template = sound[place : place + TEMPLATE]
        there = sliding_window_view(sound[place + SHORTEST : place + size], TEMPLATE)
        power = np.einsum("ij,ij->i", there, there)
        own = template @ template
        if own + power.max() < 2 * TEMPLATE * QUIET**2:
            return place, longest
        likeness = there @ template / np.sqrt(own * power + 1e-20)
        lag = int(np.argmax(likeness))
        if likeness[lag] > best[0]:
            best = (float(likeness[lag]), place, SHORTEST + lag)
    return None if not best[2] else (best[1], best[2])


def _with_seam(sound: Sound, place: int, lag: int, *, longer: bool) -> Sound:
    """Repeat the ``lag`` samples from ``place`` on, or leave them out, across a cross-fade."""
    ramp = ((np.arange(lag) + 0.5) / lag).astype(np.float32)
    here, there = sound[place : place + lag], sound[place + lag : place + 2 * lag]
    if longer:
        seam = there * (1 - ramp) + here * ramp
        return np.concatenate([sound[: place + lag], seam, sound[place + lag :]])
    seam = here * (1 - ramp) + there * ramp
    return np.concatenate([sound[:place], seam, sound[place + 2 * lag :]])
