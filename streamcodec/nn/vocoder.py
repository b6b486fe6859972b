"""Streaming neural vocoder: log-mel frames to sound by a predicted short-time spectrum.

The design follows Vocos (Siuzdak, ICLR 2024): residual blocks at frame rate, then log-magnitude
and phase of every bin, then an inverse STFT. Here everything is causal, but the input layer
sees the frames of its latent step as a whole, so a frame knows its neighbours inside the step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamcodec.nn.layers import CausalLinear, ConvNeXtBlock, State


class Vocoder(nn.Module):
    """Normalized log-mel frames to complex spectra, one a frame."""

    def __init__(
        self,
        n_mels: int = 80,
        n_fft: int = 640,
        frames_per_step: int = 4,
        channels: int = 256,
        hidden: int = 768,
        blocks: int = 8,
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.frames_per_step = frames_per_step
        self.channels = channels
        self.input = CausalLinear(n_mels * frames_per_step, channels * frames_per_step, 2)
        self.input_norm = nn.LayerNorm(channels, eps=1e-5)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(channels, hidden, kernel_size, scale=1.0 / blocks) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(channels, eps=1e-5)
        self.output = nn.Linear(channels, n_fft + 2)

    def forward(self, mel: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map mel ``(batch, frames, n_mels)`` to spectra ``(batch, frames, n_fft / 2 + 1)``.

        ``frames`` must be a multiple of ``frames_per_step``. The result is complex64.
        """
        batch, frames, n_mels = mel.shape
        steps = frames // self.frames_per_step
        x = mel.reshape(batch, steps, self.frames_per_step * n_mels)
        x, first = self.input(x, None if state is None else state[0])
        x = self.input_norm(x.reshape(batch, frames, self.channels))
        following = [first]
        for i, block in enumerate(self.blocks, start=1):
            x, s = block(x, None if state is None else state[i])
            following.append(s)
        log_magnitude, phase = self.output(self.norm(x)).float().chunk(2, dim=-1)
        # exp(6) is far above any bin of full-scale sound under a window of 640 samples / 2; the
        # bound keeps a broken input from becoming an infinite one.
        magnitude = torch.exp(log_magnitude.clamp(max=6.0))
        return torch.complex(magnitude * torch.cos(phase), magnitude * torch.sin(phase)), following
