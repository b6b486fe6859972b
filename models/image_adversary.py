"""The adversary of the image model: a patch discriminator, its optimizer, its losses."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from streamcodec.nn.patch_discriminator import PatchDiscriminator

from . import losses
from .precision import narrow

Judgement = tuple[Tensor, list[Tensor]]
"""Scores of patches, and the feature maps before them."""


class PictureAdversary:
    """The discriminator with its optimizer.

    Parameters
    ----------
    path
        File that keeps it between runs.
    latent_dim, channels
        Of the discriminator.
    lr
        Learning rate at the beginning.
    """

    def __init__(
        self, path: Path, latent_dim: int, lr: float, device: torch.device, channels: int = 64
    ) -> None:
        self._path = path
        self.net = PatchDiscriminator(latent_dim, channels).to(device)
        if path.exists():
            self.net.load_state_dict(torch.load(path, map_location=device, weights_only=True))
        # Without momentum, as is usual where two networks chase each other.
        self._optimizer = torch.optim.AdamW(self.net.parameters(), lr=lr, betas=(0.0, 0.99))
        self._lr = lr
        self._device = device

    def learn(self, real: Tensor, fake: Tensor, latents: Tensor, factor: float) -> Tensor:
        """One step of the discriminator, at ``factor`` of its learning rate; gives its loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * factor
        seen = self._judged(real, fake.detach(), latents)
        loss = losses.discriminator_loss([seen[0]], [seen[1]])
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def judge(self, real: Tensor, fake: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Adversarial and feature-matching loss of the generator."""
        self.net.requires_grad_(False)
        seen = self._judged(real, fake, latents)
        self.net.requires_grad_(True)
        # Not the hinge: a generator learns most from patches that are plainly fake.
        return -seen[1][0].float().mean(), losses.feature_loss([seen[0]], [seen[1]])

    def save(self) -> None:
        """Keep the discriminator."""
        torch.save(self.net.state_dict(), self._path)

    def _judged(self, real: Tensor, fake: Tensor, latents: Tensor) -> tuple[Judgement, Judgement]:
        """What it says of real and drawn pictures, in one pass."""
        with narrow(self._device):
            score, features = self.net(torch.cat([real, fake]), torch.cat([latents, latents]))
        halves = score.chunk(2)
        pairs = [f.chunk(2) for f in features]
        return (halves[0], [p[0] for p in pairs]), (halves[1], [p[1] for p in pairs])
