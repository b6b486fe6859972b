"""Streaming inverse STFT: one complex spectrum a frame to sound, by weighted overlap-add.

The counterpart of :mod:`streamcodec.speech.frontend`: the same window, hop and frame positions
(D. W. Griffin and J. S. Lim, "Signal estimation from modified short-time Fourier transform",
IEEE Trans. ASSP 32(2), 1984, eq. 6). A sample is final as soon as all four frames over it have
come.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError
from streamcodec.speech.frontend import hann_window
from streamcodec.speech.geometry import HOP_LENGTH, N_BINS, N_FFT, OVERLAP

WINDOW_GAIN = 1.5
"""What a squared periodic Hann window at 75 % overlap adds up to, exactly."""


class OverlapAdd:
    """Sound of a stream of spectra.

    The ``OVERLAP`` samples before the stream, which the first frames reach into, are dropped.
    So after ``f`` frames in all, ``max(0, HOP_LENGTH * f - OVERLAP)`` samples have come, and
    :meth:`flush` brings that to ``HOP_LENGTH * f``.
    """

    def __init__(self) -> None:
        self._window = hann_window() / WINDOW_GAIN
        self._sum = np.zeros(N_FFT)
        self._to_drop = OVERLAP
        self._frames = 0

    def push(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Take spectra and return the samples that they make final.

        Parameters
        ----------
        spectra : ndarray, shape (f, N_BINS), complex64
            Spectra of the frames, any ``f >= 0``.

        Returns
        -------
        ndarray, shape (n,), float32
            Sound at ``SAMPLE_RATE``.

        Raises
        ------
        InputError
            The spectra have another shape.
        """
        if spectra.ndim != 2 or spectra.shape[1] != N_BINS:
            raise InputError(
                f"expected spectra of shape (frames, {N_BINS}), found {spectra.shape}; "
                "hand over one spectrum a row"
            )
        samples = np.empty(HOP_LENGTH * len(spectra), dtype=np.float32)
        for frame, spectrum in enumerate(spectra):
            # One transform a frame: a batched one may round differently for another batch size.
            self._sum += np.fft.irfft(spectrum.astype(np.complex128), n=N_FFT) * self._window
            samples[HOP_LENGTH * frame : HOP_LENGTH * (frame + 1)] = self._sum[:HOP_LENGTH]
            self._sum[:OVERLAP] = self._sum[HOP_LENGTH:]
            self._sum[OVERLAP:] = 0.0
        self._frames += len(spectra)
        return self._without_lead_in(samples)

    def flush(self) -> NDArray[np.float32]:
        """End the stream: return its tail and start anew.

        Returns
        -------
        ndarray, shape (n,), float32
            The samples that the last frames cover without being covered by all four frames;
            they fade out, as the frames that would complete them never come. At most
            ``OVERLAP`` samples, none if nothing was pushed.
        """
        tail = self._sum[:OVERLAP].astype(np.float32) if self._frames else np.empty(0, np.float32)
        tail = self._without_lead_in(tail)
        self.reset()
        return tail

    def reset(self) -> None:
        """Start a new stream: nothing of the old one is left."""
        self._sum[:] = 0.0
        self._to_drop = OVERLAP
        self._frames = 0

    def _without_lead_in(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Leave out what lies before the stream."""
        dropped = min(self._to_drop, len(samples))
        self._to_drop -= dropped
        return samples[dropped:]
