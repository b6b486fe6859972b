"""Training losses on sound and on mel pictures, and what symbols cost."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamcodec.nn.prior import logistic_bits
from streamcodec.speech.distance import MAX_NORMALIZED

Judgement = list[tuple[Tensor, list[Tensor]]]
"""What :class:`streamcodec.nn.discriminator.Discriminator` returns."""


AMPLITUDE_POWER = 0.8
"""Exponent of amplitudes, between logarithm and wave; near loudness, which grows as the 0.6th."""

AMPLITUDE_SCALE = 0.64
"""Brings the amplitude loss to about the size of :func:`mel_loss` at 2 kbit/s."""

LEAST_AMPLITUDE = 0.3
"""Compressed amplitude of crops that are next to silent, 35 dB below speech of usual level."""


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Slaney-style mel filters ``(n_mels, n_fft / 2 + 1)``, as librosa defines them."""
    import librosa

    return torch.from_numpy(librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels))


def coded_bits(scaled: Tensor, symbols: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of ``symbols`` as the coder spends them, all tensors of one shape.

    The prior's gradient is that of these bits. E's is that of ``scaled`` with additive noise, which
    is what one more costs on the mean over the unit interval.
    """
    bits = logistic_bits(symbols - location, log_scale)
    if scaled.requires_grad:
        noisy = scaled + torch.rand_like(scaled) - 0.5
        proxy = logistic_bits(noisy - location.detach(), log_scale.detach())
        bits = bits + (proxy - proxy.detach())
    return bits


class MultiResolutionSpectralLoss(nn.Module):
    """L1 between log-mel and between compressed linear spectra at several window lengths.

    After the multi-scale mel loss of DAC (Kumar et al., NeurIPS 2023), with the linear spectra
    added because harmonics above 1 kHz fall between wide mel bands. On a CPU this loss costs as
    much as the vocoder it trains, so a training step may draw a subset of the resolutions.
    """

    def __init__(self, sample_rate: int = 16_000, per_step: int | None = None) -> None:
        super().__init__()
        self.sizes = [(128, 10), (256, 24), (512, 48), (1024, 96)]
        self.per_step = per_step or len(self.sizes)
        for n_fft, n_mels in self.sizes:
            bank = mel_filterbank(sample_rate, n_fft, n_mels)
            # Scaled so that the floor below means the same level at each window length.
            self.register_buffer(f"bank{n_fft}", bank * (512.0 / n_fft), persistent=False)
            self.register_buffer(f"window{n_fft}", torch.hann_window(n_fft), persistent=False)

    def forward(self, x: Tensor, target: Tensor, *, complete: bool = False) -> Tensor:
        """Distance between two sounds ``(batch, samples)``, averaged over the resolutions.

        ``complete`` asks for every resolution whatever a step draws.
        """
        count = len(self.sizes) if complete else self.per_step
        picks = torch.randperm(len(self.sizes))[:count].tolist()
        total = x.new_zeros(())
        for pick in picks:
            n_fft = self.sizes[pick][0]
            with torch.no_grad():
                log_mel, linear = self._views(target, n_fft)
            own_log_mel, own_linear = self._views(x, n_fft)
            total = total + F.l1_loss(own_log_mel, log_mel) + 2.0 * F.l1_loss(own_linear, linear)
        return total / count

    def _views(self, x: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
        window, bank = getattr(self, f"window{n_fft}"), getattr(self, f"bank{n_fft}")
        spectrum = torch.stft(x, n_fft, n_fft // 4, window=window, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1) + 1e-9
        magnitude = torch.sqrt(power)
        log_mel = torch.log(torch.matmul(bank, magnitude) + 1e-4)
        # Fourth root of the power, near the compression of loudness; roots are cheap, pow is not.
        return log_mel, torch.sqrt(magnitude) * (256.0 / n_fft) ** 0.25


def mel_loss(mel: Tensor, target: Tensor) -> Tensor:
    """L1 between normalized log-mels; what can be heard counts up to three times what cannot."""
    weight = 0.5 + torch.sigmoid(2.0 * target)
    return (weight * (mel - target).abs()).mean()


def amplitude_loss(mel: Tensor, target: Tensor, mel_std: float) -> Tensor:
    """Error of compressed amplitudes, relative to those of each crop; scale-free.

    Root mean square over the bands of a frame, so that one band far off counts more than many that
    are nearly right, and mean over frames, loud ones counting more: what :func:`mel_loss` in the
    logarithm of amplitudes does not know.

    Parameters
    ----------
    mel, target : Tensor
        Normalized log-mel frames, ``(batch, frames, bands)``.
    mel_std : float
        By which they have been divided.
    """
    power = AMPLITUDE_POWER * mel_std
    wanted = torch.exp(power * target)
    found = torch.exp(power * mel.clamp(max=MAX_NORMALIZED))
    error = (found - wanted).square().mean(2).add(1e-6).sqrt().mean(1)
    level = wanted.square().mean(2).sqrt().mean(1).clamp_min(LEAST_AMPLITUDE)
    return AMPLITUDE_SCALE * (error / level).mean()


def discriminator_loss(real: Judgement, fake: Judgement) -> Tensor:
    """Hinge loss of the discriminators."""
    total = real[0][0].new_zeros(())
    for (r, _), (f, _) in zip(real, fake, strict=True):
        total = total + F.relu(1.0 - r.float()).mean() + F.relu(1.0 + f.float()).mean()
    return total / len(real)


def adversarial_loss(fake: Judgement) -> Tensor:
    """Hinge loss of the generator side."""
    return torch.stack([F.relu(1.0 - f.float()).mean() for f, _ in fake]).mean()


def feature_loss(real: Judgement, fake: Judgement) -> Tensor:
    """Feature matching, each layer relative to its own mean activation."""
    terms = []
    for (_, rs), (_, fs) in zip(real, fake, strict=True):
        for r, f in zip(rs, fs, strict=True):
            r = r.detach().float()
            terms.append((r - f.float()).abs().mean() / (r.abs().mean() + 1e-4))
    return torch.stack(terms).mean()


def cosine(progress: float, warm_up: float = 0.01, floor: float = 0.02) -> float:
    """Learning-rate factor at ``progress`` (0 to 1) of the time budget."""
    if progress < warm_up:
        return max(progress / warm_up, 0.01)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
