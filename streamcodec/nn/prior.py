"""The learned prior over quantized latents, in the floating-point form that training uses.

A masked autoencoder for distribution estimation (MADE, Germain et al., ICML 2015): every symbol
of a latent step gets the location and scale of a discretized logistic distribution, from the
symbols of the last steps and from the symbols of this step in lower channels. One pass rates a
whole sequence, so training and search can use it as the rate term; the coder runs the integer
form of the same network (:mod:`streamcodec.core.entropy`), because probabilities that steer the
decoder may not depend on floating-point rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamcodec.core import integer_network as net
from streamcodec.core.integer_network import IntegerNetwork
from streamcodec.core.model_file import fill

HIDDEN_BITS = 7
"""Fractional bits of a hidden unit in the integer form. Any other number would give the same
network: what the layers before it gain by it the next ones lose."""

MIN_LOG_SCALE = math.log(0.06)
MAX_LOG_SCALE = math.log(48.0)


class MaskedPrior(nn.Module):
    """Distribution of each latent symbol given its past."""

    def __init__(
        self,
        latent_dim: int = 64,
        context_steps: int = 4,
        hidden: int = 384,
        rate_scales: tuple[float, ...] = (1.0,),
    ) -> None:
        super().__init__()
        if hidden % latent_dim:
            raise ValueError(f"hidden ({hidden}) must be a multiple of latent_dim ({latent_dim})")
        self.latent_dim = latent_dim
        self.context_steps = context_steps
        self.hidden = hidden
        degree = torch.arange(hidden) // (hidden // latent_dim)
        channel = torch.arange(latent_dim)
        self.context = nn.Linear(latent_dim * context_steps, hidden, bias=False)
        self.current = nn.Linear(latent_dim, hidden, bias=False)
        self.middle = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, 2 * latent_dim)
        self.rate_bias = nn.Parameter(torch.zeros(len(rate_scales), hidden))
        self.rate_scales: Tensor
        self.current_mask: Tensor
        self.middle_mask: Tensor
        self.output_mask: Tensor
        self.register_buffer("rate_scales", torch.tensor(rate_scales))
        self.register_buffer("current_mask", (channel[None] < degree[:, None]).float())
        self.register_buffer("middle_mask", (degree[None] <= degree[:, None]).float())
        visible = (degree[None] <= channel[:, None]).float()
        self.register_buffer("output_mask", torch.cat([visible, visible]))
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self._baked = False

    @torch.no_grad()
    def read_integers(self, network: IntegerNetwork) -> None:
        """Take the weights of the integer form, of the same shape, masks and all.

        What the search then minds is what the coder spends, but for the rounding of hidden units.

        Raises
        ------
        ValueError
            The integer form is another network's.
        """
        scale = float(self.rate_scales[0])
        shifts = [int(s) for s in network.layout]
        # Fractional bits: of network inputs, of the first and middle weights, of the last sums.
        # Multipliers and shifts tell them, with the units that a symbol and a location have.
        per_symbol = float(network.input_multiplier[0]) * scale
        inputs = round(math.log2(per_symbol)) - shifts[net.INPUT_SHIFT]
        first = shifts[net.FIRST_SHIFT] - inputs + HIDDEN_BITS
        middle = shifts[net.MIDDLE_SHIFT]
        per_location = net.FRACTIONS * scale / float(network.location_multiplier[0])
        sums = round(math.log2(per_location)) + shifts[net.OUTPUT_SHIFT]
        for weight, integers, bits in (
            (self.context.weight, network.context.T, first),
            (self.current.weight, network.current.T, first),
            (self.rate_bias, network.first_bias, inputs + first),
            (self.middle.weight, network.middle.T, middle),
            (self.middle.bias, network.middle_bias, HIDDEN_BITS + middle),
            (self.output.weight, network.output.T, sums - HIDDEN_BITS),
            (self.output.bias, network.output_bias, sums),
        ):
            if integers.shape != tuple(weight.shape):
                raise ValueError(
                    f"an integer prior with weights of {integers.shape} does not belong to one "
                    f"with weights of {tuple(weight.shape)}"
                )
            weight.copy_(torch.from_numpy(integers.astype(np.float32)) * 2.0**-bits)
        self.eval().requires_grad_(False)
        self._baked = True

    @torch.no_grad()
    def bake_masks(self) -> None:
        """Multiply the masks into the weights once and for all; for a prior no longer trained."""
        self.current.weight *= self.current_mask
        self.middle.weight *= self.middle_mask
        self.output.weight *= self.output_mask
        self._baked = True

    def _masked(self, layer: nn.Linear, mask: Tensor) -> Tensor:
        return layer.weight if self._baked else layer.weight * mask

    def parameters_of(self, symbols: Tensor, past: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Locations and log-scales of the distributions of ``symbols``.

        symbols ``(batch, steps, latent_dim)``, past ``(batch, context_steps, latent_dim)`` the
        symbols before them (zeros after a refresh), rate ``(batch,)`` the rung of the ladder.
        """
        steps = symbols.shape[1]
        scale = self.rate_scales[rate][:, None, None]
        sequence = torch.cat([past, symbols], dim=1) / scale
        taps = [sequence[:, k : k + steps] for k in range(self.context_steps)]
        x = self.context(torch.cat(taps, dim=2))
        x = x + F.linear(
            sequence[:, self.context_steps :], self._masked(self.current, self.current_mask)
        )
        return self._behind_first(x, scale, self.rate_bias[rate][:, None])

    def _behind_first(self, x: Tensor, scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The layers behind the first: its sums ``(..., hidden)`` to locations and log-scales."""
        x = F.relu(x + bias)
        x = F.relu(F.linear(x, self._masked(self.middle, self.middle_mask), self.middle.bias))
        x = F.linear(x, self._masked(self.output, self.output_mask), self.output.bias)
        location, log_scale = x.float().chunk(2, dim=-1)
        log_scale = (log_scale + torch.log(scale)).clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
        return location * scale, log_scale

    def bits(self, values: Tensor, symbols: Tensor, past: Tensor, rate: Tensor) -> Tensor:
        """Bits that coding ``values`` costs, ``(batch, steps, latent_dim)``.

        ``values`` may be real (symbols plus noise, for gradients); ``symbols`` are the integers
        that the network sees as context.
        """
        location, log_scale = self.parameters_of(symbols, past, rate)
        return logistic_bits(values - location, log_scale)


def fill_prior(prior: MaskedPrior, tensors: Mapping[str, Tensor], network: IntegerNetwork) -> None:
    """Fill a prior that is no longer trained: from its own tensors, or else from the integer form.

    Early models bring it a second time, as ``prior.*`` among the encoder's ``tensors``.

    Raises
    ------
    RuntimeError, ValueError
        Tensors are missing, too many, or of another shape.
    """
    if any(name.startswith("prior.") for name in tensors):
        fill(prior, tensors, "prior.")
        prior.bake_masks()
    else:
        prior.read_integers(network)


def logistic_bits(offset: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of the unit interval around ``offset`` under a logistic of the given log-scale."""
    inverse = torch.exp(-log_scale)
    # By symmetry the interval is taken on the left side, where the sigmoids do not saturate.
    a = -(offset.abs()) * inverse
    half = 0.5 * inverse
    probability = torch.sigmoid(a + half) - torch.sigmoid(a - half)
    # A small floor, as the coder's tables have one; with it an outlier costs bits, not infinity.
    return -torch.log2(probability + 2.0**-20)
