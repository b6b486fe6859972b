"""Rate against distortion of the image model: what its other objectives build on."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from streamcodec.core.distortion import squared_error
from streamcodec.image.distortion import DISTORTIONS

from .image_model import LATTICE, PEAK, ImageModel
from .precision import narrow


class Objective(Protocol):
    """A loss, and the networks that it trains.

    Attributes
    ----------
    trained : dict
        Modules by the names of their places in the model.
    """

    trained: dict[str, nn.Module]

    def __call__(self, pixels: Tensor, rate: Tensor, progress: float) -> dict[str, Tensor]:
        """Loss (and what belongs into the curve) of crops ``(n, 3, h, w)`` on rungs ``(n,)``."""

    def held_out(self, pixels: Tensor) -> dict[str, float]:
        """Figures of held-out crops besides those of E's guesses, if there are any."""

    def save(self) -> None:
        """Keep what is not in the model."""


class Trade:
    """Rate against distortion: the error of a crop counts as its rung says.

    Parameters
    ----------
    lambdas
        Of the rungs.
    """

    def __init__(self, lambdas: Tensor) -> None:
        self._lambdas = lambdas
        self._middle = lambdas.log().mean().exp()

    def bits_worth(self, error: Tensor, rate: Tensor) -> Tensor:
        """Errors ``(n,)`` of pixels in 0..1, in bits a pixel."""
        return self._lambdas[rate] * PEAK**2 * error

    def weight(self, rate: Tensor) -> Tensor:
        """Gradients of high rungs are larger by their lambda: even them out half-way."""
        return (self._middle / self._lambdas[rate]).sqrt()


class RateDistortion:
    """Bits and a distortion, all networks."""

    def __init__(self, model: ImageModel, lambdas: Tensor, distortion: str) -> None:
        self._model, self._trade = model, Trade(lambdas)
        self._distortion = DISTORTIONS[distortion]
        self.trained: dict[str, nn.Module] = {
            "encoder": model.encoder,
            "generator": model.generator,
            "prior": model.prior,
            "lattice": nn.ParameterDict({name: getattr(model, name) for name in LATTICE}),
        }

    def __call__(self, pixels: Tensor, rate: Tensor, progress: float) -> dict[str, Tensor]:
        """Loss, bits a pixel, PSNR, and the distortion's own value."""
        with narrow(pixels.device):
            decoded, bpp = self._model(pixels, rate)
        error = self._distortion(decoded, pixels)
        cost = (bpp + self._trade.bits_worth(error, rate)) * self._trade.weight(rate)
        return {
            "loss": cost.mean(),
            "bpp": bpp.mean(),
            "psnr": -10 * squared_error(decoded.detach(), pixels).mean().log10(),
        }

    def held_out(self, pixels: Tensor) -> dict[str, float]:
        """None."""
        return {}

    def save(self) -> None:
        """There is nothing else."""


class EncoderAlone(RateDistortion):
    """Bits and a distortion, E alone: it catches up with a generator and a prior that stay.

    Files and decoders are the same before and after; what is guessed is better.
    """

    def __init__(self, model: ImageModel, lambdas: Tensor, distortion: str) -> None:
        super().__init__(model, lambdas, distortion)
        model.requires_grad_(False)
        model.encoder.requires_grad_(True)
        self.trained = {"encoder": model.encoder}
