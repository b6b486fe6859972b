"""What the search of a window minds: its distortion, its bits, and what moving symbols does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from streamcodec.core.distortion import Distortion
from streamcodec.core.integer_network import MAX_SYMBOL
from streamcodec.core.lattice import FORBIDDEN, Look, product_form, silent_channels
from streamcodec.image.model import ImageModel
from streamcodec.image.rate import PriceControl, forecasts, settle
from streamcodec.image.windows import Surroundings
from streamcodec.nn.image import COLOURS
from streamcodec.nn.prior import logistic_bits

PROBE_STEP = 0.02
"""Length of a probe of the distortion, in pixel values: about what a decoded pixel is off."""

LOOK_EVERY = 2
"""Iterations between looks at the bits of the lattice points, where there is no annealing."""


class WindowProblem:
    """Distortion and bits of a window as functions of its latents, in lattice units.

    Parameters
    ----------
    control
        Tells the price of a bit, and is told the bits from time to time.
    colour
        Whether the picture has colours; of a grey one the mean of the colours is what counts.
    tick
        Called once an iteration.
    """

    def __init__(
        self,
        model: ImageModel,
        rung: int,
        place: Surroundings,
        distortion: Distortion,
        control: PriceControl,
        *,
        colour: bool,
        tick: Callable[[], None],
    ) -> None:
        self._model = model
        self._trade_off = model.trade_offs[rung]
        self._rung = torch.tensor([rung])
        self._from_lattice = partial(model.from_lattice, rung=rung)
        self._place = place
        self._distortion = distortion
        self._control = control
        self._colour = colour
        self._tick = tick
        self._iterations = 0

    def pictures(self, latents: Tensor) -> Tensor:
        """What G makes of latents ``(n, h, w, dim)``, where it counts: ``(n, 3, h, w)``."""
        # What lies beyond black or white the decoder cuts off: it is no error.
        return self._drawn(latents).clamp(0.0, 1.0)

    def _drawn(self, latents: Tensor) -> Tensor:
        """The same with what lies beyond black or white."""
        place = self._place
        inner, outer = place.inner, place.fixed.shape
        around = (0, 0, inner.x0, outer[1] - inner.x1, inner.y0, outer[0] - inner.y1)
        everything = place.fixed + F.pad(self._from_lattice(latents), around)
        pictures = self._model.search_generator(everything.to(self._model.search_dtype)).float()
        pictures = pictures[(slice(None), slice(None), *place.seen.slices)]
        if not self._colour:
            pictures = pictures.mean(dim=1, keepdim=True).expand(-1, COLOURS, -1, -1)
        return pictures

    def distance(self, pictures: Tensor) -> Tensor:
        """Squared error (or what stands for it) in units of the rung's bit a pixel, ``(n,)``."""
        place = self._place
        return self._distortion(pictures, place.target) * (place.seen.area / self._control.price)

    def bits(self, latents: Tensor) -> Tensor:
        """Bits under the prior in floating point, ``(n,)``."""
        if self._iterations % LOOK_EVERY == 0 and self._control.active:
            self._control.heard(self.lattice_bits(latents[0].detach().round()))
        self._iterations += 1
        self._tick()
        return self._tile_bits(latents, latents)

    def rated(self, context: Tensor) -> Callable[[Tensor], Tensor]:
        """Bits of each symbol of a point, where ``context`` ``(h, w, dim)`` are those around it."""
        self._tick()
        location, log_scale = self._distributions(context)
        return lambda symbols: logistic_bits(symbols - location, log_scale)

    def hear(self, latents: Tensor, step: int, steps: int) -> None:
        """Tell the control, now and then, what latents ``(h, w, dim)`` cost rounded.

        They are those of an annealing behind so many of its steps.
        """
        forecast = forecasts(steps).get(step)
        if forecast is not None and self._control.active:
            self._control.foretell(self.lattice_bits(latents.round()), forecast)

    def look(self, symbols: Tensor) -> Look:
        """Cost and gradients of a lattice point ``(h, w, dim)``."""
        at = symbols.clone().requires_grad_()
        distance = self._distance_in_bits(at)
        (pull,) = torch.autograd.grad(distance, at)
        location, log_scale = self._distributions(at)
        bits = logistic_bits(symbols - location, log_scale).sum()
        (push,) = torch.autograd.grad(bits, at)
        self._tick()
        location, log_scale = location.detach(), log_scale.detach()
        return Look(
            float(distance.detach()),
            float(bits.detach()),
            pull,
            push,
            lambda values: logistic_bits(values - location, log_scale),
        )

    def curvature(self, symbols: Tensor, generator: torch.Generator) -> Tensor:
        """Second derivative of the distance in bits along each symbol, about: ``(h, w, dim)``.

        With J the generator's derivative and H that of the distortion, squared, J'r times J'Hr of
        random signs r has the diagonal of J'HJ as its mean (Hutchinson, Communications in
        Statistics, 1990, for a trace). Probing in the picture leaves out how the latents depend on
        each other, which in the latents would drown the diagonal.

        Black and white count as if they were not cut off: a move brings pixels back from there,
        whose curvature at the point is zero. Channels of which E makes no use are not to be moved.
        """
        at = symbols.clone().requires_grad_()
        pictures = self._drawn(at[None])
        # The pictures are the variable here, not what they come from.
        here = pictures.detach().requires_grad_()
        signs = torch.randint(0, 2, here.shape, generator=generator) * 2.0 - 1.0
        there = (here.detach() + PROBE_STEP * signs).requires_grad_()
        (begin,) = torch.autograd.grad(self._in_bits(here), here)
        (end,) = torch.autograd.grad(self._in_bits(there), there)
        # Of scalars: to be told gradients of a picture torch first imports sympy, half a second.
        probes = (signs, (end - begin) / PROBE_STEP)
        (one,) = torch.autograd.grad((pictures * probes[0]).sum(), at, retain_graph=True)
        (other,) = torch.autograd.grad((pictures * probes[1]).sum(), at)
        self._tick()
        # Squared error has no negative products. MS-SSIM has, and where it took their sums for no
        # curvature every move would promise a gain that none keeps.
        curvature = product_form((one * other).abs())
        return curvature.masked_fill(silent_channels(self._place.guess), FORBIDDEN)

    def _distributions(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """Locations and log-scales of the symbols of a lattice point ``(h, w, dim)``."""
        location, log_scale = torch.empty_like(symbols), torch.empty_like(symbols)
        for tile in self._place.tiles:
            with self._model.search_precision():
                part = self._model.search_prior.distributions(
                    symbols[tile.slices][None], self._rung
                )
            location[tile.slices], log_scale[tile.slices] = part[0][0], part[1][0]
        return location, log_scale

    @torch.no_grad()
    def lattice_bits(self, symbols: Tensor) -> float:
        """Bits of a lattice point ``(h, w, dim)`` under the prior in floating point."""
        return float(self._tile_bits(symbols[None], symbols[None]))

    @torch.no_grad()
    def lattice_distance(self, symbols: Tensor) -> float:
        """Distance of a lattice point, in bits at the rung's own price."""
        return float(self._distance_in_bits(symbols))

    def lattice_cost(self, symbols: Tensor, price: float) -> float:
        """Distance in bits of a lattice point, and its bits at a price."""
        return self.lattice_distance(symbols) + price * self.lattice_bits(symbols)

    def _distance_in_bits(self, latents: Tensor) -> Tensor:
        return self._in_bits(self.pictures(latents[None]))

    def _in_bits(self, pictures: Tensor) -> Tensor:
        """Distance of one picture at the rung's own price of a bit, a scalar."""
        area = self._place.seen.area
        return self._distortion(pictures, self._place.target)[0] * (area / self._trade_off)

    def _tile_bits(self, values: Tensor, symbols: Tensor) -> Tensor:
        """Bits of ``values (n, h, w, dim)`` in the context of ``symbols``, tile by tile."""
        total = values.new_zeros(values.shape[0])
        for tile in self._place.tiles:
            place = (slice(None), *tile.slices)
            rate = self._rung.expand(len(values))
            with self._model.search_precision():
                bits = self._model.search_prior.tile_bits(values[place], symbols[place], rate)
            total = total + bits.sum((1, 2, 3))
        return total

    def settling(self, latents: Tensor) -> Callable[[float], tuple[Tensor, float]]:
        """Lattice points ``(h, w, dim)`` around latents, with their bits, by the slope of a bit."""
        with torch.no_grad():
            location, log_scale = self._distributions(latents.round())

        def settled(slope: float) -> tuple[Tensor, float]:
            point = settle(latents, location, log_scale, slope).clamp(-MAX_SYMBOL, MAX_SYMBOL)
            return point, self.lattice_bits(point)

        return settled
