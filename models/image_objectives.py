"""What image training minimizes.

* ``mse``: bits and squared error, all networks.
* ``ms-ssim``: bits and the distortion that leans to MS-SSIM
  (:func:`streamcodec.image.distortion.structural`), all networks; for a run that squared error has
  brought far already.
* ``perceptual``: the drawing layers of the generator alone, on quantized latents, against an
  adversary; the second step of BPGAN's training. All else stays as it is: with the latents given,
  what an adversary can change for the better is how they are drawn. So files are those of the
  run that it began from, and whoever decodes one chooses how it is to be drawn. Likeness in the
  features of a classifier (:mod:`.likeness`) may pull along: it is a teacher that knows from the
  first step what an adversary has to find out.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from streamcodec.core.distortion import squared_error
from streamcodec.image.distortion import DISTORTIONS
from streamcodec.nn.image import DRAWING

from . import losses
from .image_adversary import PictureAdversary
from .image_model import ImageModel
from .image_rate_distortion import EncoderAlone, Objective, RateDistortion, Trade
from .image_searched import SearchedRateDistortion
from .likeness import Likeness, classifier_likeness
from .precision import narrow

PERCEPTUAL = "perceptual"
LOSSES = (*DISTORTIONS, PERCEPTUAL)
"""By the names of the command line."""


class Perceptual:
    """Squared error, an adversary's judgement and its features; the drawing layers alone.

    Parameters
    ----------
    likeness
        What else to minimize, if anything.
    """

    def __init__(
        self,
        model: ImageModel,
        lambdas: Tensor,
        adversary: PictureAdversary,
        likeness: Likeness | None,
        args: argparse.Namespace,
    ) -> None:
        self._model, self._trade, self._adversary = model, Trade(lambdas), adversary
        self._likeness = likeness
        self._args = args
        self.trained: dict[str, nn.Module] = {
            f"generator.{name}": model.generator.get_submodule(name) for name in DRAWING
        }
        model.requires_grad_(False)
        for network in self.trained.values():
            network.requires_grad_(True)

    def __call__(self, pixels: Tensor, rate: Tensor, progress: float) -> dict[str, Tensor]:
        """Loss and its parts; teaches the adversary first."""
        with narrow(pixels.device):
            with torch.no_grad():
                latents = self._model.dequantized(self._model.encoder(pixels).float(), rate)
                composed = self._model.generator.compose(latents)
            decoded = self._model.generator.draw(composed, latents).float()
        error = squared_error(decoded, pixels)
        values = {"psnr": -10 * error.detach().mean().log10()}
        # An adversary takes what it is shown for 0..1; beyond that the decoder cuts off.
        shown = decoded.clamp(0.0, 1.0)
        values["judge"] = self._adversary.learn(pixels, shown, latents, losses.cosine(progress))
        values["adv"], values["feat"] = self._adversary.judge(pixels, shown, latents)
        loss = squared = self._trade.bits_worth(error, rate).mean()
        if progress >= self._args.adversary_from:
            judged = values["adv"] + self._args.features * values["feat"]
            values["weight"] = self._args.adversarial * _relative_pull(squared, judged, decoded)
            loss = loss + values["weight"] * judged
        if self._likeness is not None:
            values["unlike"] = self._likeness(shown, pixels)
            pull = _relative_pull(squared, values["unlike"], decoded)
            loss = loss + self._args.likeness * pull * values["unlike"]
        return {"loss": loss, **values}

    def held_out(self, pixels: Tensor) -> dict[str, float]:
        """None."""
        return {}

    def save(self) -> None:
        """Keep the adversary."""
        self._adversary.save()


def _relative_pull(loss: Tensor, other: Tensor, at: Tensor) -> Tensor:
    """Weight that makes ``other`` pull at pixels as hard as ``loss`` does.

    A discriminator that has learned well pulls fifty times as hard as squared error, one that has
    not hardly at all (after Esser, Rombach and Ommer, *Taming transformers*, CVPR 2021, who take
    the gradients of the last layer).
    """
    pulls = [torch.autograd.grad(x, at, retain_graph=True)[0].norm() for x in (loss, other)]
    return pulls[0] / (pulls[1] + 1e-8)


def objective_of(model: ImageModel, lambdas: Tensor, args: argparse.Namespace) -> Objective:
    """The objective that a command line names."""
    if args.search:
        return SearchedRateDistortion(
            model, lambdas, args.loss, args.search, args.replay, args.seed
        )
    if args.encoder_alone:
        return EncoderAlone(model, lambdas, args.loss)
    if args.loss != PERCEPTUAL:
        return RateDistortion(model, lambdas, args.loss)
    adversary = PictureAdversary(
        args.run / "discriminator.pt", model.config.latent_dim, args.judge_lr, lambdas.device
    )
    likeness = classifier_likeness().to(lambdas.device) if args.likeness else None
    return Perceptual(model, lambdas, adversary, likeness, args)
