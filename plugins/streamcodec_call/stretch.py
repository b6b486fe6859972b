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

SHORTEST_PERIOD = 80
"""Samples of a period that sound is carried on with at least: 5 ms, or it would buzz."""

LEAST_PERIODIC = 0.5
"""Correlation below which a sound counts as noise where it is carried on."""

PAST = TEMPLATE + LONGEST
"""Samples that must be known of a sound to carry it on."""

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


def last_period(past: Sound) -> Sound:
    """What a sound that breaks off can be carried on with: whole periods of its end.

    Repeated any number of times it leaves the signal in the phase in which it broke off, so that
    what comes after all can follow without a seam.

    Parameters
    ----------
    past : ndarray, shape (PAST,), float32
        The end of the sound, at 16 kHz.

    Returns
    -------
    ndarray, shape (n,), float32
        ``n`` lies between ``SHORTEST_PERIOD`` and ``LONGEST``.
    """
    template = past[-TEMPLATE:].astype(np.float64)
    lags = np.arange(SHORTEST_PERIOD, LONGEST + 1)
    there = sliding_window_view(past.astype(np.float64), TEMPLATE)[len(past) - TEMPLATE - lags]
    power = np.einsum("ij,ij->i", there, there)
    likeness = there @ template / np.sqrt((template @ template) * power + 1e-20)
    best = int(np.argmax(likeness))
    # Noise has no period, and repeating a short piece of it would sound like one.
    lag = int(lags[best]) if likeness[best] > LEAST_PERIODIC else LONGEST
    period = past[len(past) - lag :].copy()
    # The signal's step from one period to the next, spread over the beginning of the repetition.
    step = past[-1] - past[-len(period) - 1]
    ramp = np.linspace(1.0, 0.0, min(SHORTEST_PERIOD, len(period)), dtype=np.float32)
    period[: len(ramp)] += step * ramp
    return period


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
