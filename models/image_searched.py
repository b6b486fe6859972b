"""Training on latents that a search has found, for pictures (training step 2 of BPGAN).

What E guesses, rounded, is what G and the prior have learned from; what a decoder gets are lattice
points where the search has weighed distance against bits, and at those G and the prior can do
better. Crops are searched as the encoder does it, by annealing; G and the prior learn from what
was found, E from its own guesses, so that it stays in step with them. Gains stay as they are: they
are the lattice on which the symbols lie; what leads back from it is learned along.

A search takes as long as some ten steps of training, so that what was found is used several times:
beside each new crop some of those of the last minutes are learned from. Each once would be better,
as from five hundred crops G learns their particulars within ten minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamcodec.core.annealing import anneal
from streamcodec.image.distortion import DISTORTIONS
from streamcodec.nn.prior import logistic_bits

from .image_model import ImageModel, rungs_shown
from .image_rate_distortion import RateDistortion, Trade
from .precision import narrow

POOL = 512
"""Crops that are kept."""

HELD_OUT_CROPS = 4
"""Those that are searched to measure a run, on each rung."""


@dataclass(frozen=True)
class Found:
    """What the search found for a crop.

    Attributes
    ----------
    pixels : Tensor
        ``(3, 16 h, 16 w)`` uint8.
    rung : int
    symbols : Tensor
        ``(h, w, latent_dim)`` int16.
    """

    pixels: Tensor
    rung: int
    symbols: Tensor


class CropProblem:
    """Distance and bits of several crops together, as annealing asks for them.

    Parameters
    ----------
    model
        Its weights are held fast.
    pixels
        ``(n, 3, 16 h, 16 w)`` in 0..1.
    rate
        Rungs ``(n,)``.
    guess
        Latents in lattice units, ``(n, h, w, dim)``. Channels that round to zero in all of a crop
        stay zero in it.
    """

    def __init__(
        self,
        model: ImageModel,
        trade: Trade,
        distortion: Callable[[Tensor, Tensor], Tensor],
        pixels: Tensor,
        rate: Tensor,
        guess: Tensor,
    ) -> None:
        self._model, self._trade, self._distortion = model, trade, distortion
        self._pixels, self._rate = pixels, rate
        self._used = (guess.round() != 0).flatten(1, 2).any(1)[:, None, None].float()

    def pictures(self, latents: Tensor) -> Tensor:
        """What G makes of latents ``(1, n, h, w, dim)``: ``(1, n, 3, 16 h, 16 w)``."""
        with narrow(latents.device):
            drawn = self._model.generator(
                self._model.from_lattice(latents[0] * self._used, self._rate)
            )
        return drawn.float().clamp(0.0, 1.0)[None]

    def distance(self, pictures: Tensor) -> Tensor:
        """Distance of all crops together in bits, ``(1,)``."""
        error = self._distortion(pictures[0], self._pixels)
        area = self._pixels.shape[2] * self._pixels.shape[3]
        return self._trade.bits_worth(error, self._rate).sum()[None] * area

    def rated(self, context: Tensor) -> Callable[[Tensor], Tensor]:
        """Bits of each symbol, where ``context`` ``(n, h, w, dim)`` are those around it."""
        with narrow(context.device):
            location, log_scale = self._model.prior.distributions(context * self._used, self._rate)
        return lambda symbols: logistic_bits(symbols * self._used - location, log_scale)

    def rounded(self, latents: Tensor) -> Tensor:
        """Symbols of latents ``(n, h, w, dim)``."""
        return torch.round(latents) * self._used


@contextmanager
def held_fast(*modules: nn.Module) -> Iterator[None]:
    """Parameters that learn nothing from what is computed meanwhile."""
    held = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


class SearchedRateDistortion:
    """Bits and a distortion, G and the prior at what a search finds, E at its own guesses.

    Parameters
    ----------
    iterations
        Steps of annealing.
    replay
        Crops of before that are learned from beside each new one.
    """

    def __init__(
        self,
        model: ImageModel,
        lambdas: Tensor,
        distortion: str,
        iterations: int,
        replay: int,
        seed: int,
    ) -> None:
        self._model, self._trade = model, Trade(lambdas)
        self._distortion = DISTORTIONS[distortion]
        self._guessed = RateDistortion(model, lambdas, distortion)
        self._iterations, self._replay = iterations, replay
        self._random = torch.Generator().manual_seed(seed)
        self._pool: deque[Found] = deque(maxlen=POOL)
        model.log_gain.requires_grad_(False)
        back = nn.ParameterDict({"log_step": model.log_step, "offset": model.offset})
        self.trained: dict[str, nn.Module] = {
            "encoder": model.encoder,
            "generator": model.generator,
            "prior": model.prior,
            "lattice": back,
        }

    def __call__(self, pixels: Tensor, rate: Tensor, progress: float) -> dict[str, Tensor]:
        """Loss, E's part of it, and bits a pixel and PSNR of what the search found."""
        symbols = self.search(pixels, rate)
        eight_bit = (pixels * 255.0).round().to(torch.uint8)
        new = [
            Found(crop, int(rung), found.to(torch.int16))
            for crop, rung, found in zip(eight_bit, rate, symbols, strict=True)
        ]
        picks = torch.randint(
            max(1, len(self._pool)), (self._replay * len(new),), generator=self._random
        )
        old = [self._pool[i] for i in picks.tolist()] if self._pool else []
        self._pool.extend(new)
        loss, values = self._learned_from(new + old)
        # E is to follow the others and not to lead them.
        with held_fast(*(m for name, m in self.trained.items() if name != "encoder")):
            guessed = self._guessed(pixels, rate, progress)["loss"]
        return {"loss": loss + guessed, "guessed": guessed, **values}

    def search(self, pixels: Tensor, rate: Tensor) -> Tensor:
        """Symbols ``(n, h, w, dim)`` of crops ``(n, 3, 16 h, 16 w)``."""
        with held_fast(self._model):
            with narrow(pixels.device):
                latents = self._model.encoder(pixels).float()
            guess = latents * self._model.log_gain[rate].exp()[:, None, None]
            problem = CropProblem(self._model, self._trade, self._distortion, pixels, rate, guess)
            found = anneal(problem, guess, 1.0, self._iterations, self._random, lambda *_: None)
        return problem.rounded(found)

    def cost(self, pixels: Tensor, rate: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost of symbols, bits, both a pixel, and the squared error, each ``(n,)``.

        Unlike for the search, what lies beyond black and white counts in the cost: G is to learn
        to stay between them.
        """
        with narrow(pixels.device):
            decoded = self._model.generator(self._model.from_lattice(symbols, rate)).float()
            location, log_scale = self._model.prior.distributions(symbols, rate)
        area = pixels.shape[2] * pixels.shape[3]
        bits = logistic_bits(symbols - location, log_scale).flatten(1).sum(1) / area
        error = self._distortion(decoded, pixels)
        squared = (decoded.detach().clamp(0.0, 1.0) - pixels).square().flatten(1).mean(1)
        return bits + self._trade.bits_worth(error, rate), bits, squared

    def held_out(self, pixels: Tensor) -> dict[str, float]:
        """Bits a pixel, PSNR and cost of what is found for the first crops, at each rung."""
        figures, pixels = {}, pixels[:HELD_OUT_CROPS]
        for rung in rungs_shown(self._model.config):
            rate = torch.full((len(pixels),), rung, device=pixels.device)
            symbols = self.search(pixels, rate)
            with torch.no_grad():
                cost, bits, squared = self.cost(pixels, rate, symbols)
            figures[f"searched_bpp@{rung}"] = float(bits.mean())
            figures[f"searched_psnr@{rung}"] = float((-10 * squared.log10()).mean())
            figures[f"searched_cost@{rung}"] = float(cost.mean())
        return figures

    def _learned_from(self, crops: list[Found]) -> tuple[Tensor, dict[str, Tensor]]:
        device = next(self._model.parameters()).device
        pixels = torch.stack([c.pixels for c in crops]).to(device) / 255.0
        rate = torch.tensor([c.rung for c in crops], device=device)
        symbols = torch.stack([c.symbols for c in crops]).to(device).float()
        cost, bits, squared = self.cost(pixels, rate, symbols)
        loss = (cost * self._trade.weight(rate)).mean()
        return loss, {"bpp": bits.mean(), "psnr": -10 * squared.mean().log10()}

    def save(self) -> None:
        """There is nothing else: what was found for the last crops is soon found again."""
