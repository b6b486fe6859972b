"""Streaming log-mel front end: sound to the frames that the codec codes.

Frame ``k`` is the magnitude spectrum of samples ``160 k - 480 ... 160 k + 159`` under a periodic
Hann window (zeros stand before the stream), added up in mel bands, as natural logarithm,
normalized::

    mel = (log(max(filterbank @ |rfft(window * samples)|, LOG_FLOOR)) - MEL_MEAN) / MEL_STD

Each frame is computed by itself, with one transform and one compiled loop that adds in a fixed
order. Batched transforms and matrix products are free to round differently for another batch
size (BLAS does); here the bits of a frame depend on its 640 samples alone, so a stream gives the
same frames whatever block lengths are pushed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError
from streamcodec.speech.compiled import compiled
from streamcodec.speech.geometry import (
    HOP_LENGTH,
    LOG_FLOOR,
    MEL_MEAN,
    MEL_STD,
    N_BINS,
    N_FFT,
    N_MELS,
    OVERLAP,
    SAMPLE_RATE,
)
from streamcodec.speech.ring import RingBuffer


def hann_window() -> NDArray[np.float64]:
    """Return the periodic Hann window of ``N_FFT`` samples, shape (N_FFT,), float64."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(N_FFT) / N_FFT)


def mel_filterbank() -> NDArray[np.float32]:
    """Build Slaney's mel filterbank for the codec's geometry; needs librosa.

    The encoder and the decoder take the bank from the model file; this is for training and
    tests.

    Returns
    -------
    ndarray, shape (N_MELS, N_BINS), float32
        Triangles of equal area from 0 Hz to half the sampling rate: the defaults of
        ``librosa.filters.mel``, after M. Slaney's Auditory Toolbox (1998).
    """
    import librosa

    bank: NDArray[np.float32] = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
    return bank


class MelFrontEnd:
    """Normalized log-mel frames of a stream of samples.

    Parameters
    ----------
    filterbank : ndarray, shape (n_mels, N_BINS), float32
        Weight of every bin's magnitude in every band; finite.

    Raises
    ------
    InputError
        The filterbank has another shape or is not finite.
    """

    def __init__(self, filterbank: NDArray[np.float32]) -> None:
        if filterbank.ndim != 2 or filterbank.shape[1] != N_BINS or not len(filterbank):
            raise InputError(
                f"expected a filterbank of shape (n_mels, {N_BINS}), found {filterbank.shape}; "
                "use the bank of the model file"
            )
        if not np.isfinite(filterbank).all():
            raise InputError("expected a finite filterbank, found NaN or infinity; load it anew")
        self._weights = np.ascontiguousarray(filterbank, dtype=np.float64)
        self._first, self._last = band_support(self._weights)
        self._window = hann_window()
        self._ring = RingBuffer(N_FFT, HOP_LENGTH, lead_in=OVERLAP)
        # Have the loop compiled or loaded now, not in the first push of a live stream.
        self.push(np.zeros(HOP_LENGTH, dtype=np.float32))
        self.reset()

    @property
    def n_mels(self) -> int:
        """Bands of a frame."""
        return len(self._weights)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take a block of samples and return the frames that it completes.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32
            Sound at ``SAMPLE_RATE``, full scale ±1, any ``n >= 0``.

        Returns
        -------
        ndarray, shape (f, n_mels), float32
            Normalized log-mel frames. After ``m`` samples in all, ``m // HOP_LENGTH`` frames
            have come.

        Raises
        ------
        InputError
            The block is not one-dimensional.
        """
        if samples.ndim != 1:
            raise InputError(
                f"expected samples of shape (n,), found {samples.shape}; mix the channels first"
            )
        pending = self._ring.held - OVERLAP  # samples beyond the overlap, less than a hop
        log_mel = np.empty(((pending + len(samples)) // HOP_LENGTH, self.n_mels))
        for k, window in enumerate(self._ring.windows(samples)):
            spectrum = np.fft.rfft(window * self._window)
            _log_mel(spectrum, self._weights, self._first, self._last, LOG_FLOOR, log_mel[k])
        return ((log_mel - MEL_MEAN) / MEL_STD).astype(np.float32)

    def reset(self) -> None:
        """Start a new stream: nothing of the old one is left."""
        self._ring.reset()


def offline_mel(
    samples: NDArray[np.float32], filterbank: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return all frames of a whole recording: what a :class:`MelFrontEnd` gives for it.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
        Sound at ``SAMPLE_RATE``, full scale ±1.
    filterbank : ndarray, shape (n_mels, N_BINS), float32
        As for :class:`MelFrontEnd`.

    Returns
    -------
    ndarray, shape (n // HOP_LENGTH, n_mels), float32
        Normalized log-mel frames.
    """
    return MelFrontEnd(filterbank).push(samples)


def band_support(weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first bin of every band and the one behind its last: a band is a few bins."""
    used = weights != 0.0
    any_used = used.any(axis=1)
    first = np.where(any_used, used.argmax(axis=1), 0)
    last = np.where(any_used, weights.shape[1] - used[:, ::-1].argmax(axis=1), 0)
    return first, last


@compiled
def _log_mel(
    spectrum: NDArray[np.complex128],
    weights: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    floor: float,
    frame: NDArray[np.float64],
) -> None:
    """Write the logarithms of one spectrum's band magnitudes into ``frame``.

    Everything comes in as arguments: a constant of another module would be frozen into the
    cached machine code and stay there after that module has changed.
    """
    magnitude = np.empty(len(spectrum))
    for i in range(len(spectrum)):
        re, im = spectrum[i].real, spectrum[i].imag
        magnitude[i] = math.sqrt(re * re + im * im)
    for band in range(len(weights)):
        total = 0.0
        for i in range(first[band], last[band]):
            total += weights[band, i] * magnitude[i]
        frame[band] = math.log(max(total, floor))
