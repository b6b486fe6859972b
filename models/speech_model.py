"""The networks of the speech codec together, as training sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamcodec.nn.autoencoder import Encoder, Generator
from streamcodec.nn.prior import MaskedPrior
from streamcodec.nn.spectrum import MelSpectrogram
from streamcodec.nn.vocoder import Vocoder

from .losses import coded_bits, mel_filterbank

HOP = 160
N_FFT = 640

PACKET_STEPS = 2
"""Latent steps of a packet of the default profile."""

WORST_LOSS = 0.4
"""Share of packets lost in the worst crops that G is trained on."""


@dataclass
class SpeechConfig:
    """Everything that fixes the shape of a speech model."""

    n_mels: int = 80
    frames_per_latent: int = 4
    latent_dim: int = 96
    channels: int = 512
    hidden: int = 1024
    blocks: int = 4
    vocoder_channels: int = 256
    vocoder_hidden: int = 768
    vocoder_blocks: int = 8
    prior_hidden: int = 576
    prior_context: int = 4
    # Whether G learns to bridge latents that never came (needs its ``lost`` vector).
    erasures: bool = True
    shortcut: bool = True
    mel_mean: float = -6.5
    mel_std: float = 2.4
    # Bits a second that each rung aims at while training: the nominal rate less what sealing
    # a packet every 80 ms to whole bytes costs (about 35 bit/s).
    rates: tuple[float, ...] = (1000, 1600, 2000, 3200, 6000)
    rate_scales: tuple[float, ...] = (0.6, 0.85, 1.0, 1.6, 3.2)
    sealing: float = 35.0
    # What E alone may spend above a rung's rate: the search saves about as much again.
    headroom: float = 1.08
    rate_odds: tuple[float, ...] = (0.12, 0.12, 0.5, 0.14, 0.12)

    @property
    def steps_per_second(self) -> float:
        """Latent steps in a second."""
        return 16_000 / HOP / self.frames_per_latent

    @property
    def targets(self) -> list[float]:
        """Bits of a latent step that each rung aims at."""
        return [(r * self.headroom - self.sealing) / self.steps_per_second for r in self.rates]


class SpeechModel(nn.Module):
    """All networks of the speech codec, with the gains that turn latents into integers."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        c = self.config = config
        shape = {
            name: getattr(c, name)
            for name in (
                "n_mels",
                "frames_per_latent",
                "latent_dim",
                "channels",
                "hidden",
                "blocks",
            )
        }
        self.mel = MelSpectrogram(
            mel_filterbank(16_000, N_FFT, c.n_mels), N_FFT, HOP, c.mel_mean, c.mel_std
        )
        self.encoder = Encoder(**shape, shortcut=c.shortcut)
        self.generator = Generator(**shape, erasures=c.erasures, shortcut=c.shortcut)
        self.vocoder = Vocoder(c.n_mels, N_FFT, c.frames_per_latent, c.vocoder_channels,
                               c.vocoder_hidden, c.vocoder_blocks)  # fmt: skip
        self.prior = MaskedPrior(c.latent_dim, c.prior_context, c.prior_hidden, c.rate_scales)
        self.log_gain = nn.Parameter(
            torch.log(torch.tensor(c.rate_scales))[:, None].repeat(1, c.latent_dim)
        )

    def quantize(
        self, latents: Tensor, rate: Tensor, alone: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Round latents on the lattice of their rung.

        Returns the dequantized latents (straight-through gradient), the symbols, and bits of
        each latent step ``(batch, steps)``, see :func:`.losses.coded_bits`. The first ``alone``
        crops are rated as packets that are decodable by themselves, see :meth:`rated`.
        """
        gain = torch.exp(self.log_gain[rate])[:, None]
        scaled = latents * gain
        symbols = torch.round(scaled).detach()
        bits = self.rated(scaled, symbols, rate, alone)
        dequantized = (symbols + (scaled - scaled.detach())) / gain
        return dequantized, symbols, bits

    def rated(self, scaled: Tensor, symbols: Tensor, rate: Tensor, alone: int = 0) -> Tensor:
        """Bits of each latent step, ``(batch, steps)``.

        ``symbols`` are ``scaled`` on the lattice. The first ``alone`` crops are cut into packets
        that know nothing of each other, as those of a stream over a lossy transport are.
        """
        parts = []
        if alone:
            packets = alone * (scaled.shape[1] // PACKET_STEPS)
            shape = (packets, PACKET_STEPS, scaled.shape[2])
            rates = rate[:alone, None].expand(-1, packets // alone).flatten()
            bits = self._rated(scaled[:alone].reshape(shape), symbols[:alone].reshape(shape), rates)
            parts.append(bits.reshape(alone, -1))
        if alone < len(scaled):
            parts.append(self._rated(scaled[alone:], symbols[alone:], rate[alone:]))
        return torch.cat(parts)

    def _rated(self, scaled: Tensor, symbols: Tensor, rate: Tensor) -> Tensor:
        past = symbols.new_zeros(symbols.shape[0], self.config.prior_context, symbols.shape[2])
        location, log_scale = self.prior.parameters_of(symbols, past, rate)
        return coded_bits(scaled, symbols, location, log_scale).sum(-1)

    def erased(self, latents: Tensor, share: float) -> Tensor:
        """Latents ``(batch, steps, dim)`` with packets of some crops replaced by G's ``lost``.

        A crop loses packets with probability ``share``, and then each of its packets with one
        that is drawn up to :data:`WORST_LOSS`; half of the crops in bursts twice as long.
        """
        if self.generator.lost is None:
            return latents
        batch, steps, _ = latents.shape
        packets = steps // PACKET_STEPS + 1
        drawn = torch.rand(batch, packets, device=latents.device)
        bursts = drawn[:, torch.arange(packets) // 2]
        drawn = torch.where(torch.rand(batch, 1, device=latents.device) < 0.5, drawn, bursts)
        chosen = torch.rand(batch, 1, device=latents.device) < share
        worst = WORST_LOSS * torch.rand(batch, 1, device=latents.device)
        gone = ((drawn < worst) & chosen).repeat_interleave(PACKET_STEPS, 1)[:, :steps]
        return torch.where(gone[:, :, None], self.generator.lost, latents)


def load_config(run: Path) -> SpeechConfig:
    """The configuration of a run folder; the default one if it has none."""
    path = run / "config.json"
    if not path.exists():
        return SpeechConfig()
    stored: dict[str, Any] = json.loads(path.read_text())
    stored.setdefault("shortcut", False)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return SpeechConfig(**values)


def load_model(run: Path, config: SpeechConfig) -> SpeechModel:
    """The model of a run folder: averaged weights of whatever stages have run so far."""
    model = SpeechModel(config)
    path = run / "model.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model
