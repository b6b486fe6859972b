"""What the stages of speech training work on, and what they have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamcodec.nn.spectrum import inverse_stft, refined

from . import losses
from .data import SpeechCorpus
from .precision import narrow
from .speech_model import HOP, N_FFT, SpeechConfig, SpeechModel, load_model
from .stage import Stage, store

DEFAULT_WEIGHTS = {
    "libri_walleclipse": 4.0, "asp_audio": 2.0, "festvox_ru": 1.0, "picovoice_s2i": 2.0,
    "an4": 1.0, "speechocean762": 0.7, "speechcommands_dsr": 0.3, "picovoice_wwb": 0.5,
    "ovos_ww": 0.3,
}  # fmt: skip
"""Sentences over keywords, clean over noisy."""


MIDDLE_RUNG = 2
"""The one that is followed most closely, 2 kbit/s."""


@dataclass
class Task:
    """What a stage works on."""

    args: argparse.Namespace
    model: SpeechModel
    corpus: SpeechCorpus
    batches: Iterator[Tensor]
    held: Tensor
    device: torch.device

    @property
    def config(self) -> SpeechConfig:
        """The shape of the model."""
        return self.model.config

    def autocast(self) -> torch.autocast:
        """See :func:`.precision.narrow`."""
        return narrow(self.device)

    def draw_rates(self, batch: int) -> Tensor:
        """A rung for each crop."""
        odds = torch.tensor(self.config.rate_odds)
        return torch.multinomial(odds, batch, replacement=True).to(self.device)

    def autoencode(
        self, x: Tensor, rate: Tensor, *, alone: int = 0, losing: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded mel, original mel, and bits of each latent step.

        ``alone`` crops are rated as packets by themselves; a share ``losing`` of the crops loses
        packets on the way to G.
        """
        with torch.no_grad():
            mel = self.model.mel(x)
        with self.autocast():
            z, _ = self.model.encoder(mel)
            dequantized, _, bits = self.model.quantize(z.float(), rate, alone)
            if losing:
                dequantized = self.model.erased(dequantized, losing)
            out, _ = self.model.generator(dequantized)
        return out.float(), mel, bits

    def vocode(self, mel: Tensor) -> Tensor:
        """Sound of mel frames, by the vocoder alone."""
        with self.autocast():
            spectra, _ = self.model.vocoder(mel)
        return inverse_stft(spectra, N_FFT, HOP)

    def synthesize(self, mel: Tensor) -> Tensor:
        """Sound of mel frames as a decoder makes it: by the vocoder, then some refinement.

        The number of alternations is drawn, so that the vocoder learns what the refinement
        leaves to it without leaning on one number.
        """
        with self.autocast():
            spectra, _ = self.model.vocoder(mel)
        alternations = int(torch.randint(self.args.refine + 1, ()))
        return refined(spectra, mel, self.model.mel, alternations)

    def keep(self, stage: Stage) -> None:
        """Put a finished stage's averages into the run's model, and go on with those."""
        store(self.args.run, self.model, stage)
        stored = load_model(self.args.run, self.config).to(self.device)
        self.model.load_state_dict(stored.state_dict())

    def picture_loss(self, out: Tensor, mel: Tensor) -> Tensor:
        """What the codec's stages call close: log-mels, and ``--amplitude`` of amplitudes."""
        distortion = losses.mel_loss(out, mel)
        if not self.args.amplitude:
            return distortion
        relative = losses.amplitude_loss(out, mel, self.config.mel_std)
        return torch.lerp(distortion, relative, self.args.amplitude)

    def inherited(self) -> dict[str, Any]:
        """Rate multipliers that an earlier stage of the run arrived at."""
        return inherited(self.args.run)

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """Distances and bits a second on held-out speakers at each rung, and under loss."""
        result = {}
        per_second = self.config.steps_per_second
        for r, nominal in enumerate(self.config.rates):
            rate = torch.full((len(self.held),), r, device=self.device)
            out, mel, bits = self.autoencode(self.held, rate)
            result[f"mel@{nominal:.0f}"] = float(losses.mel_loss(out, mel))
            relative = losses.amplitude_loss(out, mel, self.config.mel_std)
            result[f"amplitude@{nominal:.0f}"] = float(relative)
            result[f"bps@{nominal:.0f}"] = float(bits.mean()) * per_second
        nominal = self.config.rates[MIDDLE_RUNG]
        rate.fill_(MIDDLE_RUNG)
        out, mel, bits = self.autoencode(self.held, rate, alone=len(rate), losing=1.0)
        result[f"mel@{nominal:.0f},losing"] = float(losses.mel_loss(out, mel))
        result[f"bps@{nominal:.0f},alone"] = float(bits.mean()) * per_second
        return result


def inherited(run: Path) -> dict[str, Any]:
    """Rate multipliers that an earlier stage of the run arrived at."""
    extra: dict[str, Any] = {}
    if (run / "inherited.pt").exists():  # of a finished model that the run began with
        extra |= torch.load(run / "inherited.pt", map_location="cpu", weights_only=True)
    for name in ("autoencoder", "joint", "searched"):
        path = run / f"stage-{name}.pt"
        if path.exists():
            extra |= torch.load(path, map_location="cpu", weights_only=False)["extra"]
    return extra


def codec_parts(model: SpeechModel) -> dict[str, nn.Module]:
    """Networks between mel and bits, by the names of a checkpoint."""
    return {
        "encoder": model.encoder,
        "generator": model.generator,
        "prior": model.prior,
        "gain": nn.ParameterList([model.log_gain]),
    }
