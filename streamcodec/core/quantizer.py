"""Quantizers: how a searched latent becomes integers.

The lattice is always the integers; a rung of the rate ladder is a vector of gains that stretches
the latent space before it meets the lattice (one step size a channel and rung).

Source of the alternating method: Liu, Cao and Kim, *Unified Signal Compression Using Generative
Adversarial Network*, ICASSP 2020, section 3 (ADMM quantization), after Boyd et al., *Distributed
Optimization and Statistical Learning via the Alternating Direction Method of Multipliers*, 2011.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Quantizer(Protocol):
    """What pulls a latent towards the lattice while it is searched."""

    def penalty(self, z: Tensor) -> Tensor:
        """Cost that is added to the loss of ``z``, a scalar."""

    def update(self, z: Tensor) -> None:
        """Take notice of the iterate that the search has reached."""

    def settle(self, z: Tensor) -> Tensor:
        """Put ``z`` on the lattice: integers as floats, shape kept."""


class UniformRounding:
    """Search freely, round once at the end."""

    def penalty(self, z: Tensor) -> Tensor:
        """No pull: zero."""
        return z.new_zeros(())

    def update(self, z: Tensor) -> None:
        """Nothing to remember."""

    def settle(self, z: Tensor) -> Tensor:
        """Round to the nearest lattice point."""
        return z.round()


class Admm:
    """Alternating direction method of multipliers on the constraint that z lies on the lattice.

    Each iteration minimizes the loss plus rho/2 ||Z - R + U||^2 over Z (by a gradient step of
    the search), then sets R to the projection of Z + U, then U to U + Z - R.

    Parameters
    ----------
    z : Tensor
        Where the search starts, any shape, in lattice units.
    rho : float
        Weight of the augmented term.
    """

    def __init__(self, z: Tensor, rho: float) -> None:
        self.rho = rho
        self.u = z.new_zeros(z.shape)
        self.r = z.detach().round()

    def penalty(self, z: Tensor) -> Tensor:
        """rho/2 ||Z - R + U||^2."""
        return 0.5 * self.rho * (z - self.r + self.u).square().sum()

    def update(self, z: Tensor) -> None:
        """R <- projection of Z + U; U <- U + Z - R."""
        z = z.detach()
        self.r = (z + self.u).round()
        self.u = self.u + z - self.r

    def settle(self, z: Tensor) -> Tensor:
        """Project Z itself: after a handful of iterations Z has not met R everywhere."""
        return z.round()
