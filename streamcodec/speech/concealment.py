"""Packet-loss concealment in the latent domain.

Where nothing is known of what comes behind a gap, a generator that was trained with packets
missing is given its ``lost`` vector and goes on by itself, from all that it remembers. Another one
is given what the entropy model finds most likely to come next, drawn a little towards the last
latents. Mel frames are faded out, as G.711 Appendix I fades a repeated pitch period: a short gap
is bridged, a long one becomes silence. Where the packet behind the gap has already come (a jitter
buffer may hold it), latents go over to it in a straight line (behind what the generator does by
itself), and a fade that had begun is taken back.

The entropy model is in integers, so what is concealed is the same everywhere as far as the latents
go. Constants were chosen by WB-PESQ on held-out training speakers.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamcodec.core.entropy import IntegerPrior
from streamcodec.speech import geometry

HOLD_STEPS = 1
"""Latent steps (40 ms) before the fade begins."""

LEARNED_HOLD_STEPS = 4
"""The same where the generator has learned to go on: it fades by itself what it is not sure of."""

OWN_STEPS = 2
"""Latent steps at the beginning of a bridge that such a generator makes by itself, if as many are
left: near what was heard it knows better than a straight line to the other side."""

FADE_PER_STEP = 0.1
"""Fade of one latent step in normalized log-mel units: 0.1 x 2.4 nepers, about 2 dB."""

LONGEST_FADE = 4.0
"""Past this (about 83 dB) nothing is left to fade."""

PREDICTED_SHARE = 0.8
"""Share of the prediction; the rest is the last latents again."""

SHRINK = 0.8
"""Factor on repeated latents a step."""

MAX_SYMBOL = 32_767
"""Largest symbol that a context may hold."""


class Concealment:
    """Remembers the last symbols and invents the next latents.

    Parameters
    ----------
    prior : IntegerPrior
    gains : Tensor
        ``(rungs, dim)``; latents times gains are symbols.
    lost : Tensor, optional
        What the generator takes for a latent that never came, ``(dim,)``, if it has learned that.
    """

    def __init__(self, prior: IntegerPrior, gains: Tensor, lost: Tensor | None = None) -> None:
        self._prior = prior
        self._gains = gains
        self._erasure = lost
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._rung: int | None = None
        self._context = self._prior.initial_context()
        self._last = self._held = torch.zeros(self._gains.shape[1])
        self._lost = 0
        self._fade = 0.0

    def heard(self, symbols: NDArray[np.int32], rung: int) -> None:
        """Take notice of decoded symbols ``(steps, dim)``."""
        self._rung = rung
        self._remember(symbols)
        self._last = torch.from_numpy(symbols[-1].astype(np.float32)) / self._gains[rung]
        self._held = self._last
        self._lost = 0
        self._fade = 0.0

    def invent(self, steps: int) -> tuple[Tensor, Tensor]:
        """Latents ``(steps, dim)`` for a gap and the fade ``(frames,)`` of its mel frames."""
        if self._erasure is None:
            latents, hold = self._predicted(steps), HOLD_STEPS
            self._last = latents[-1]
        else:
            latents, hold = self._erasure.expand(steps, -1), LEARNED_HOLD_STEPS
        held = max(0, hold - self._lost) * geometry.FRAMES_PER_LATENT
        frames = torch.arange(1, steps * geometry.FRAMES_PER_LATENT + 1)
        per_frame = FADE_PER_STEP / geometry.FRAMES_PER_LATENT
        fade = self._fade + per_frame * (frames - held).clamp(min=0)
        return self._take(latents, fade.clamp(max=LONGEST_FADE))

    def _predicted(self, steps: int) -> Tensor:
        """What the entropy model expects next, drawn towards the last latents."""
        latents = self._held * SHRINK ** torch.arange(1, steps + 1)[:, None]
        self._held = latents[-1]
        if self._rung is not None:
            found, self._context = self._prior.predict(steps, self._context, self._rung)
            predicted = torch.from_numpy(found.astype(np.float32)) / self._gains[self._rung]
            latents = torch.lerp(latents, predicted, PREDICTED_SHARE)
        return latents

    def bridge(self, steps: int, following: Tensor, gap_steps: int) -> tuple[Tensor, Tensor]:
        """As :meth:`invent`, where what comes behind the gap is known.

        ``following`` ``(dim,)`` is the first latent behind it, ``gap_steps`` how many steps are
        still missing before it, ``steps`` of which are given.
        """
        share = torch.arange(1, steps + 1)[:, None] / (gap_steps + 1)
        latents = torch.lerp(self._last.expand(steps, -1), following.expand(steps, -1), share)
        if self._rung is not None:
            symbols = (latents * self._gains[self._rung]).round().clamp(-MAX_SYMBOL, MAX_SYMBOL)
            self._remember(symbols.to(torch.int32).numpy())
        frames = torch.arange(1, steps * geometry.FRAMES_PER_LATENT + 1)
        left = 1.0 - frames / (gap_steps * geometry.FRAMES_PER_LATENT)
        self._last = self._held = latents[-1]
        if self._erasure is not None:
            step = torch.arange(steps)
            by_itself = (self._lost + step < OWN_STEPS) & (gap_steps - step > OWN_STEPS)
            latents = torch.where(by_itself[:, None], self._erasure, latents)
        return self._take(latents, self._fade * left)

    def _remember(self, symbols: NDArray[np.int32]) -> None:
        steps = len(self._context)
        self._context = np.concatenate([self._context, symbols])[-steps:]

    def _take(self, latents: Tensor, fade: Tensor) -> tuple[Tensor, Tensor]:
        self._lost += len(latents)
        self._fade = float(fade[-1])
        return latents, fade
