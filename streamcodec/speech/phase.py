"""Mel frames to sound without trained weights: a streaming Griffin-Lim.

The frames of a latent step are solved together with the three before them, whose last samples
have not been given out yet. What has been given out is fixed; the rest of the signal is found by
alternating between what it must satisfy as a signal and what the mel frames say:

1. A new frame starts from the phase that a phase vocoder predicts, every bin moving with its
   nearest spectral peak (J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification
   of audio", IEEE Trans. SAP 7(3), 1999).
2. Spectra of the current estimate keep their phase and take the wanted magnitude; overlap-add makes
   them a signal again (X. Zhu, G. T. Beauregard and L. L. Wyse, "Real-time signal estimation from
   modified short-time Fourier transform magnitude spectra", IEEE Trans. ASLP 15(5), 2007), sped up
   by extrapolation (N. Perraudin, P. Balazs and P. L. Søndergaard, "A fast Griffin-Lim algorithm",
   WASPAA 2013).

A mel frame does not say the magnitude of every bin. Most of the wanted magnitude
(``MEL_WEIGHT``) is the estimate's own, scaled so that its bands agree with the mel frame: the
signal's harmonics go on as they are where the bands are too wide to show them. The rest is
the nonnegative solution of ``filterbank @ magnitude = mel`` (multiplicative updates for the
Kullback-Leibler divergence, D. D. Lee and H. S. Seung, NIPS 2001), which pulls a bad start right.

Where a neural vocoder proposes spectra, the iteration starts from those instead: the vocoder
knows what voices sound like, the iteration makes the sound agree with the frames.

There is no waiting beyond the latent step: the timing is that of
:class:`streamcodec.speech.overlap.OverlapAdd`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamcodec.errors import InputError
from streamcodec.speech.frontend import band_support, hann_window
from streamcodec.speech.geometry import (
    FRAMES_PER_LATENT,
    HOP_LENGTH,
    LOG_FLOOR,
    MEL_MEAN,
    MEL_STD,
    N_BINS,
    N_FFT,
    OVERLAP,
    STEP_SAMPLES,
)
from streamcodec.speech.overlap import WINDOW_GAIN
from streamcodec.speech.phase_loops import (
    advance_phases,
    impose_magnitude,
    multiplicative_updates,
    overlap_add,
)

ITERATIONS = 60
"""Alternations for each latent step. WB-PESQ of ten speech clips from their own mel frames is 3.6
at 8 and flat at 3.8 from 16 on; these take 6 % of real time on one core."""

MEL_WEIGHT = 1.0
"""Share of the wanted magnitude that is the estimate itself, scaled to the mel frame."""

MOMENTUM = 0.98
"""Extrapolation of the spectra from one iteration to the next; above 1 it diverges."""

MAGNITUDE_ITERATIONS = 10
"""Multiplicative updates from mel to magnitude. They converge slowly and need not: see above."""

LOWEST_COVER = 0.5
"""Samples near the end lie under the edge of one window; their sum is not divided by less."""

MAX_LOG_MEL = 10.0
"""Largest logarithm of a mel value taken at its word; full-scale sound stays below 6."""

NEGLIGIBLE = 1e-9
"""Magnitude below which a bin has no phase to keep."""

_OPEN_FRAMES = OVERLAP // HOP_LENGTH  # earlier frames that reach into samples not given out yet
_FRAMES = _OPEN_FRAMES + FRAMES_PER_LATENT  # frames solved together
_BUFFER = (_FRAMES - 1) * HOP_LENGTH + N_FFT  # samples under them


class StreamingPhase:
    """Sound of a stream of mel frames, found by iteration.

    After ``f`` frames in all, of which ``4 s`` fill whole latent steps, ``max(0, 640 s - 480)``
    samples have come; :meth:`flush` brings that to ``HOP_LENGTH * f``.

    Parameters
    ----------
    filterbank : ndarray, shape (n_mels, N_BINS), float32
        The bank that made the mel frames; nonnegative.
    iterations : int
        Alternations for each latent step, at least 0.
    mel_weight : float
        0 to 1. At 0 the wanted magnitude is the fixed solution of the mel equations and this is
        Griffin-Lim proper.

    Raises
    ------
    InputError
        An argument is out of its range.
    """

    def __init__(
        self,
        filterbank: NDArray[np.float32],
        *,
        iterations: int = ITERATIONS,
        mel_weight: float = MEL_WEIGHT,
    ) -> None:
        self._weights = _checked_weights(filterbank)
        if iterations < 0 or not 0.0 <= mel_weight <= 1.0:
            raise InputError(
                f"expected iterations >= 0 and mel_weight of 0 to 1, found {iterations} and "
                f"{mel_weight}; the defaults are {ITERATIONS} and {MEL_WEIGHT}"
            )
        self._iterations = iterations
        self._mel_weight = mel_weight
        self._first, self._last = band_support(self._weights)
        self._bin_weights = self._weights.sum(axis=0)
        self._window = hann_window()
        starts = np.arange(_FRAMES)[:, None] * HOP_LENGTH
        self._positions = starts + np.arange(N_FFT)
        cover = np.zeros(_BUFFER)
        for begin in starts[:, 0]:
            cover[begin : begin + N_FFT] += self._window**2
        self._inverse_cover = 1.0 / np.maximum(cover, LOWEST_COVER)
        # Low peak factor (M. R. Schroeder, IEEE Trans. IT 16, 1970): where there is no phase to go
        # on from, energy starts spread over the window instead of as a click.
        bins = np.arange(N_BINS)
        self._start_phases = np.exp(-1j * np.pi * bins * bins / N_BINS)
        self.reset()
        # Have the loops compiled or loaded now, not in the first push of a live stream.
        silence = np.zeros((FRAMES_PER_LATENT, len(self._weights)), dtype=np.float32)
        self._step(silence, np.empty((FRAMES_PER_LATENT, 0), dtype=np.complex64))
        self.reset()

    def reset(self) -> None:
        """Start a new stream: nothing of the old one is left."""
        n_mels = len(self._weights)
        self._pending = np.empty((0, n_mels), dtype=np.float32)
        self._proposals = np.empty((0, 0), dtype=np.complex64)
        self._start = np.zeros((_FRAMES, N_BINS), dtype=np.complex128)
        self._mel = np.full((_FRAMES, n_mels), LOG_FLOOR)
        self._magnitude = np.zeros((_FRAMES, N_BINS))
        # OVERLAP samples given out, OVERLAP + STEP_SAMPLES found but open.
        self._signal = np.zeros(_BUFFER)
        self._frames = 0
        self._given = -OVERLAP  # samples before the stream are dropped

    def push(
        self, frames: NDArray[np.float32], proposal: NDArray[np.complex64] | None = None
    ) -> NDArray[np.float32]:
        """Take mel frames and return the samples that they make final.

        Parameters
        ----------
        frames : ndarray, shape (f, n_mels), float32
            Normalized log-mel frames, any ``f >= 0``.
        proposal : ndarray, shape (f, N_BINS), complex64, optional
            Spectra to start from, a neural vocoder's say, instead of predicted phases. Of one
            stream either every push has one or none has.

        Returns
        -------
        ndarray, shape (n,), float32
            Sound at ``SAMPLE_RATE``.

        Raises
        ------
        InputError
            The frames have another shape or hold NaN; the stream stands as before.
        """
        n_mels = len(self._weights)
        if frames.ndim != 2 or frames.shape[1] != n_mels:
            raise InputError(
                f"expected mel frames of shape (frames, {n_mels}), found {frames.shape}; "
                "hand over one frame a row, of the bank given at the start"
            )
        if proposal is None:
            proposal = np.zeros((len(frames), 0), np.complex64)
        elif proposal.shape != (len(frames), N_BINS):
            raise InputError(
                f"expected a proposal of shape ({len(frames)}, {N_BINS}), found {proposal.shape}; "
                "hand over one spectrum a mel frame"
            )
        if len(self._proposals) and self._proposals.shape[1] != proposal.shape[1]:
            raise InputError("expected a proposal with every push of a stream or with none")
        if np.isnan(frames).any():
            raise InputError("expected mel frames without NaN; look for it where they are made")
        self._frames += len(frames)
        waiting = np.concatenate([self._pending, frames])
        if len(self._proposals):
            proposal = np.concatenate([self._proposals, proposal])
        whole = len(waiting) // FRAMES_PER_LATENT * FRAMES_PER_LATENT
        self._pending = waiting[whole:].astype(np.float32)
        self._proposals = proposal[whole:].copy()
        parts = [np.empty(0, dtype=np.float32)]
        for begin in range(0, whole, FRAMES_PER_LATENT):
            end = begin + FRAMES_PER_LATENT
            parts.append(self._step(waiting[begin:end], proposal[begin:end]))
        return np.concatenate(parts)

    def flush(self) -> NDArray[np.float32]:
        """End the stream: return its tail and start anew.

        Returns
        -------
        ndarray, shape (n,), float32
            The open samples, found without the frames that would come over them, and the sound of
            an unfinished latent step, found as if silence followed.
        """
        returned = max(0, self._given)
        total = HOP_LENGTH * self._frames
        parts = [np.empty(0, dtype=np.float32)]
        missing = -len(self._pending) % FRAMES_PER_LATENT
        if missing:
            floor = (math.log(LOG_FLOOR) - MEL_MEAN) / MEL_STD
            silence = np.full((missing, len(self._weights)), floor, np.float32)
            width = self._proposals.shape[1]
            parts.append(
                self.push(silence, np.zeros((missing, width), np.complex64) if width else None)
            )
        tail = self._signal[OVERLAP + STEP_SAMPLES :].astype(np.float32)
        parts.append(tail[max(0, -self._given) :])
        self.reset()
        return np.concatenate(parts)[: total - returned]

    def _step(
        self, frames: NDArray[np.float32], proposal: NDArray[np.complex64]
    ) -> NDArray[np.float32]:
        """Find the signal under the frames of one latent step and give out its final samples."""
        self._signal[:-STEP_SAMPLES] = self._signal[STEP_SAMPLES:].copy()
        self._signal[-STEP_SAMPLES:] = 0.0
        self._mel[:_OPEN_FRAMES] = self._mel[FRAMES_PER_LATENT:].copy()
        self._magnitude[:_OPEN_FRAMES] = self._magnitude[FRAMES_PER_LATENT:].copy()
        log_mel = np.minimum(frames.astype(np.float64) * MEL_STD + MEL_MEAN, MAX_LOG_MEL)
        self._mel[_OPEN_FRAMES:] = np.exp(log_mel)
        if self._mel_weight < 1.0 or not proposal.shape[1]:
            self._magnitude[_OPEN_FRAMES:] = self._solve_magnitude(self._mel[_OPEN_FRAMES:])
        if proposal.shape[1]:
            self._start[:_OPEN_FRAMES] = self._start[FRAMES_PER_LATENT:].copy()
            self._start[_OPEN_FRAMES:] = proposal
            pieces = np.fft.irfft(self._start, n=N_FFT)
            overlap_add(pieces, self._window, self._inverse_cover, OVERLAP, self._signal)
        else:
            given_out = self._signal[:OVERLAP].copy()
            for frame in range(_OPEN_FRAMES, _FRAMES):
                self._predict(frame)
            self._signal[:OVERLAP] = given_out
        previous: NDArray[np.complex128] | None = None
        for _ in range(self._iterations):
            # Always the same number of frames at once, so no push can change the rounding.
            spectra = np.fft.rfft(self._signal[self._positions] * self._window)
            if previous is None:
                previous = spectra.copy()
            impose_magnitude(
                spectra, previous, MOMENTUM, self._mel, self._magnitude, self._mel_weight,
                self._weights, self._first, self._last, self._bin_weights, self._start_phases,
                NEGLIGIBLE,
            )  # fmt: skip
            pieces = np.fft.irfft(spectra, n=N_FFT)
            overlap_add(pieces, self._window, self._inverse_cover, OVERLAP, self._signal)
        final = self._signal[OVERLAP : OVERLAP + STEP_SAMPLES].astype(np.float32)
        before_stream = min(max(0, -self._given), len(final))
        self._given += len(final)
        return final[before_stream:]

    def _predict(self, frame: int) -> None:
        """Extend the signal by one frame, its phases predicted from the frame before."""
        begin = frame * HOP_LENGTH
        spectrum = np.fft.rfft(self._signal[begin - HOP_LENGTH :][:N_FFT] * self._window)
        advance_phases(
            spectrum, self._magnitude[frame], HOP_LENGTH / N_FFT, self._start_phases, NEGLIGIBLE
        )
        piece = np.fft.irfft(spectrum, n=N_FFT) * self._window
        weight = self._window**2
        here = self._signal[begin : begin + N_FFT]
        # The three frames before have given the overlap all of the cover that this one has not.
        here[:OVERLAP] *= WINDOW_GAIN - weight[:OVERLAP]
        here[:OVERLAP] = (here[:OVERLAP] + piece[:OVERLAP]) / WINDOW_GAIN
        here[OVERLAP:] = piece[OVERLAP:] / np.maximum(weight[OVERLAP:], LOWEST_COVER)

    def _solve_magnitude(self, mel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a nonnegative magnitude of every bin whose bands are about ``mel``."""
        magnitude = np.empty((len(mel), N_BINS))
        multiplicative_updates(
            mel, self._weights, self._first, self._last, self._bin_weights,
            MAGNITUDE_ITERATIONS, NEGLIGIBLE, magnitude,
        )  # fmt: skip
        return magnitude


def offline_griffin_lim(
    magnitude: NDArray[np.float64], iterations: int = 32
) -> NDArray[np.float32]:
    """Return the sound that librosa's offline Griffin-Lim finds; a yardstick, needs librosa.

    Parameters
    ----------
    magnitude : ndarray, shape (frames, N_BINS), float64
        Magnitude spectra of all frames.
    iterations : int
        Alternations over the whole recording.

    Returns
    -------
    ndarray, shape (frames * HOP_LENGTH,), float32
        Sound at ``SAMPLE_RATE``, in the place where the streaming version puts it.
    """
    import librosa

    sound: NDArray[np.float32] = librosa.griffinlim(
        magnitude.T, n_iter=iterations, hop_length=HOP_LENGTH, n_fft=N_FFT, center=False,
        random_state=0, dtype=np.float32,
    )  # fmt: skip
    return sound[OVERLAP:]


def _checked_weights(filterbank: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the filterbank in double precision if it can be inverted."""
    weights = np.ascontiguousarray(filterbank, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != N_BINS or not len(weights):
        raise InputError(
            f"expected a filterbank of shape (n_mels, {N_BINS}), found {weights.shape}; "
            "use the bank of the model file"
        )
    if not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise InputError(
            "expected a filterbank of finite values >= 0, found others; use the bank that made "
            "the mel frames"
        )
    return weights
