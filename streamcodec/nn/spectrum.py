"""Mel-spectrogram and inverse STFT as torch operations, for training and for whole recordings.

The streaming versions in :mod:`streamcodec.speech` compute the same frames one push at a time;
tests hold the two together. Frame ``k`` covers samples ``160 k - 480 ... 160 k + 159``: the
first frames look into silence before the stream, so no frame waits for samples to come.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_FLOOR = 1e-5
"""Smallest mel magnitude: about the level of 16-bit dither, so silence is finite and flat."""


class MelSpectrogram(nn.Module):
    """Sound to normalized log-mel frames (magnitude, Hann window, natural logarithm)."""

    def __init__(
        self, filterbank: Tensor, n_fft: int, hop_length: int, mean: float, std: float
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.mean = mean
        self.std = std
        self.filterbank: Tensor
        self.window: Tensor
        self.register_buffer("filterbank", filterbank)  # (n_mels, n_fft / 2 + 1)
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, samples)`` to ``(batch, samples / hop_length, n_mels)``."""
        padded = F.pad(x, (self.n_fft - self.hop_length, 0))
        spectrum = torch.stft(
            padded, self.n_fft, self.hop_length, window=self.window, center=False,
            return_complex=True,
        )  # fmt: skip
        power = torch.view_as_real(spectrum).square().sum(-1)
        magnitude = torch.sqrt(power + 1e-12)
        mel = torch.matmul(self.filterbank, magnitude).transpose(1, 2)
        return (torch.log(mel.clamp(min=LOG_FLOOR)) - self.mean) / self.std


def inverse_stft(spectra: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Overlap-add spectra ``(batch, frames, n_fft / 2 + 1)`` into sound of ``frames`` hops.

    The first ``n_fft - hop_length`` output samples lie before the stream and are dropped, as
    many are missing at the end: they would need frames to come. The output therefore holds
    ``frames * hop_length - (n_fft - hop_length)`` samples.
    """
    window = torch.hann_window(n_fft, device=spectra.device)
    frames = torch.fft.irfft(spectra, n=n_fft, dim=-1) * window
    total = (spectra.shape[1] - 1) * hop_length + n_fft
    folded = F.fold(
        frames.transpose(1, 2), (1, total), kernel_size=(1, n_fft), stride=(1, hop_length)
    )[:, 0, 0]
    # A squared periodic Hann window at 75 % overlap adds up to 1.5 exactly.
    return folded[:, n_fft - hop_length : total - (n_fft - hop_length)] / 1.5


def refined(spectra: Tensor, mel: Tensor, analysis: MelSpectrogram, alternations: int) -> Tensor:
    """Sound of proposed spectra after some alternations towards their mel frames.

    What :class:`streamcodec.speech.phase.StreamingPhase` does with a vocoder's proposal, over a
    whole batch, without momentum and differentiable: training looks through it at the vocoder.

    Parameters
    ----------
    spectra : Tensor, shape (batch, frames, n_fft / 2 + 1), complex
        The vocoder's proposal.
    mel : Tensor, shape (batch, frames, n_mels)
        Normalized log-mel frames that the sound should have.
    analysis : MelSpectrogram
        What made the mel frames.
    alternations : int
        Times that magnitudes are scaled to the mel frames.

    Returns
    -------
    Tensor, shape (batch, samples)
        As :func:`inverse_stft` gives it.
    """
    hop, n_fft = analysis.hop_length, analysis.n_fft
    overlap = n_fft - hop
    bank = analysis.filterbank
    wanted = torch.exp(mel * analysis.std + analysis.mean)
    cover = bank.sum(0) + 1e-9
    sound = inverse_stft(spectra, n_fft, hop)
    for _ in range(alternations):
        padded = F.pad(sound, (overlap, overlap))
        spectrum = torch.stft(
            padded, n_fft, hop, window=analysis.window, center=False, return_complex=True
        ).transpose(1, 2)
        # The epsilon stays inside the root: a magnitude at zero has no gradient.
        magnitude = torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + 1e-10)
        ratio = wanted / (torch.matmul(magnitude, bank.t()) + LOG_FLOOR)
        sound = inverse_stft(spectrum * (torch.matmul(ratio, bank) / cover), n_fft, hop)
    return sound
