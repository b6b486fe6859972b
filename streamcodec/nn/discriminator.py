"""Discriminators of the adversarial training: small, but enough to be adversarial.

Multi-resolution complex-STFT discriminators (after UnivNet, Jang et al. 2021, and EnCodec,
Defossez et al. 2022) and multi-period discriminators (HiFi-GAN, Kong et al. 2020), with a
fraction of their channels: these are trained on CPUs too.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.1
"""Slope of the leaky rectifiers, as in HiFi-GAN."""


def compressed_spectrum(x: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Complex STFT with magnitudes raised to 0.3, as two real channels.

    ``(batch, samples)`` to ``(batch, 2, frames, bins)``. Compression lets weak high bands count.
    """
    window = torch.hann_window(n_fft, device=x.device)
    spectrum = torch.stft(x, n_fft, hop_length, window=window, center=True, return_complex=True)
    parts = torch.view_as_real(spectrum.transpose(1, 2))  # batch, frames, bins, 2
    # The epsilon stays inside the root: the gradient of a magnitude at zero is not a number.
    power = parts.square().sum(-1, keepdim=True) + 1e-5
    return (parts * power**-0.35).permute(0, 3, 1, 2)


class SpectrumDiscriminator(nn.Module):
    """Judges patches of one complex STFT resolution."""

    def __init__(self, n_fft: int, channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        c = channels
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(2, c, (3, 8), stride=(1, 4), padding=(1, 2)),
                nn.Conv2d(c, 2 * c, (3, 5), stride=(1, 2), padding=(1, 2)),
                nn.Conv2d(2 * c, 2 * c, (3, 5), stride=(2, 2), padding=(1, 2)),
                nn.Conv2d(2 * c, 2 * c, (3, 3), padding=1),
            ]
        )
        self.output = nn.Conv2d(2 * c, 1, (3, 3), padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return patch scores and the feature maps before them."""
        y = compressed_spectrum(x, self.n_fft, self.n_fft // 4)
        features = []
        for layer in self.layers:
            y = F.leaky_relu(layer(y), LEAK)
            features.append(y)
        return self.output(y), features


class PeriodDiscriminator(nn.Module):
    """Judges the waveform folded at one period."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        c = channels
        sizes = [1, c, 2 * c, 4 * c, 4 * c]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, (5, 1), stride=(3 if i < 3 else 1, 1), padding=(2, 0))
            for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.output = nn.Conv2d(4 * c, 1, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and the feature maps before them."""
        usable = x.shape[1] - x.shape[1] % self.period
        y = x[:, None, :usable].reshape(x.shape[0], 1, -1, self.period)
        features = []
        for layer in self.layers:
            y = F.leaky_relu(layer(y), LEAK)
            features.append(y)
        return self.output(y), features


class Discriminator(nn.Module):
    """All discriminators together."""

    def __init__(
        self,
        resolutions: tuple[int, ...] = (256, 512, 1024),
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        spectrum_channels: int = 16,
        period_channels: int = 16,
    ) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [SpectrumDiscriminator(n, spectrum_channels) for n in resolutions]
            + [PeriodDiscriminator(p, period_channels) for p in periods]
        )

    def kinds(self) -> list[list[int]]:
        """Indices of the spectrum and of the period discriminators."""
        spectra = [i for i, j in enumerate(self.judges) if isinstance(j, SpectrumDiscriminator)]
        return [spectra, [i for i in range(len(self.judges)) if i not in spectra]]

    def forward(
        self, x: Tensor, picks: list[int] | None = None
    ) -> list[tuple[Tensor, list[Tensor]]]:
        """Judge sound ``(batch, samples)``: scores and feature maps of the picked discriminators.

        All of them judge if ``picks`` is None.
        """
        return [self.judges[i](x) for i in (range(len(self.judges)) if picks is None else picks)]
