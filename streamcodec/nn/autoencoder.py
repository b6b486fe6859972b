"""Encoder E and generator G of the codec (BPGAN, Liu, Cao and Kim, ICASSP 2020, section 2).

Both work at *latent* rate: one step takes ``frames_per_latent`` mel frames, seen as one long
vector, so that a step may look freely inside its own frames and is causal across steps. Few,
wide, dense layers: the latent search runs G forward and backward many times a chunk, and there
the overhead of each operator costs more than its arithmetic.

A linear shortcut may lead from a step's frames to its latents, and from its latents to its frames:
latents that the layers in between have not learned to use can then carry what decoded frames lack.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamcodec.nn.layers import CausalStack, State


class Encoder(nn.Module):
    """E: normalized log-mel frames to a first guess of the latents."""

    def __init__(
        self,
        n_mels: int = 80,
        frames_per_latent: int = 4,
        latent_dim: int = 64,
        channels: int = 512,
        hidden: int = 1024,
        blocks: int = 4,
        *,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.frames_per_latent = frames_per_latent
        self.stack = CausalStack(
            n_mels * frames_per_latent, channels, hidden, blocks, input_kernel=2, kernel_size=4
        )
        self.output = nn.Linear(channels, latent_dim)
        self.shortcut = (
            nn.Linear(n_mels * frames_per_latent, latent_dim, bias=False) if shortcut else None
        )

    def forward(self, mel: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map mel ``(batch, frames, n_mels)`` to latents ``(batch, steps, dim)``."""
        batch, count, n_mels = mel.shape
        steps = count // self.frames_per_latent
        frames = mel.reshape(batch, steps, self.frames_per_latent * n_mels)
        x, state = self.stack(frames, state)
        latents = self.output(x)
        if self.shortcut is not None:
            latents = latents + self.shortcut(frames)
        return latents, state


class Generator(nn.Module):
    """G: latents to normalized log-mel frames.

    Attributes
    ----------
    lost : Parameter, shape (latent_dim,), or None
        What G is given in place of a latent that never came, where it was trained to bridge gaps:
        an input that no packet can hold, so that G knows that it has to go on by itself.
    """

    def __init__(
        self,
        n_mels: int = 80,
        frames_per_latent: int = 4,
        latent_dim: int = 64,
        channels: int = 512,
        hidden: int = 1024,
        blocks: int = 4,
        *,
        erasures: bool = False,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.frames_per_latent = frames_per_latent
        self.stack = CausalStack(
            latent_dim, channels, hidden, blocks, input_kernel=4, kernel_size=4
        )
        self.output = nn.Linear(channels, n_mels * frames_per_latent)
        self.shortcut = (
            nn.Linear(latent_dim, n_mels * frames_per_latent, bias=False) if shortcut else None
        )
        self.lost = nn.Parameter(torch.zeros(latent_dim)) if erasures else None

    def forward(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map latents ``(batch, steps, dim)`` to mel ``(batch, frames, n_mels)``."""
        batch, steps, _ = latents.shape
        x, state = self.stack(latents, state)
        frames = self.output(x)
        if self.shortcut is not None:
            frames = frames + self.shortcut(latents)
        return frames.reshape(batch, steps * self.frames_per_latent, self.n_mels), state
