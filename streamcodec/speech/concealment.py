"""Packet-loss concealment in the latent domain.

The generator is asked to go on: it gets the last latents again, drawn towards zero (the centre
of what it was trained on), and its mel frames are faded out, as G.711 Appendix I fades a
repeated pitch period: a short gap is bridged, a long one becomes silence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamcodec.speech import geometry

HOLD_STEPS = 1
"""Latent steps (40 ms) that are repeated before the fade begins."""

FADE_PER_STEP = 0.45
"""Fade of one latent step in normalized log-mel units: 0.45 x 2.4 nepers, about 9 dB."""

LONGEST_FADE = 4.0
"""Past this (about 83 dB) nothing is left to fade."""

SHRINK = 0.9
"""Factor on repeated latents a step."""


class Concealment:
    """Remembers the last latents and invents the next ones."""

    def __init__(self, latent_dim: int) -> None:
        self._latent_dim = latent_dim
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._last = torch.zeros(self._latent_dim)
        self._lost = 0

    def heard(self, latents: Tensor) -> None:
        """Take notice of decoded latents ``(steps, dim)``."""
        self._last = latents[-1]
        self._lost = 0

    def invent(self, steps: int) -> tuple[Tensor, Tensor]:
        """Latents ``(steps, dim)`` for a gap and the fade of each of their mel frames."""
        ages = torch.arange(self._lost + 1, self._lost + steps + 1)
        self._lost += steps
        latents = self._last * SHRINK ** ages[:, None]
        per_frame = FADE_PER_STEP / geometry.FRAMES_PER_LATENT
        first = (ages[0] - 1 - HOLD_STEPS) * geometry.FRAMES_PER_LATENT
        frames = torch.arange(steps * geometry.FRAMES_PER_LATENT) + first + 1
        return latents, (frames * per_frame).clamp(0.0, LONGEST_FADE)
