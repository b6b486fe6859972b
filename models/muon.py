"""Muon: steps of equal size in every direction of a weight matrix, AdamW for everything else.

Momentum of a matrix is replaced by the nearest matrix with orthonormal rows (Jordan et al., Muon,
2024), found by Newton-Schulz iterations, and scaled to the root mean square of AdamW's steps
(Liu et al., Muon is scalable for LLM training, 2025), so that one learning rate serves both.
A convolution is the matrix ``(out, in * kernel)``: :class:`torch.optim.Muon` refuses those, and
they are most of what is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from .precision import multiplies_narrow

NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5
"""Coefficients of the quintic iterations (Jordan et al.)."""

ADAM_RMS = 0.2
"""Root mean square of a typical AdamW step, in units of the learning rate."""


def orthogonalized(matrix: Tensor) -> Tensor:
    """About the nearest matrix with orthonormal rows (or columns), ``(m, n)`` float32.

    Singular values end between 0.7 and 1.2, which is near enough for a step. Products are in
    bfloat16, as the method allows, where that is faster.
    """
    x = matrix.to(torch.bfloat16 if multiplies_narrow(matrix.device) else torch.float32)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    x = x / (x.norm() + 1e-7)
    for a, b, c in NEWTON_SCHULZ:
        square = x @ x.t()
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.t() if tall else x).float()


def matrices(networks: Mapping[str, nn.Module]) -> list[nn.Parameter]:
    """Weights of convolutions and dense layers, without those that see pixels or bands.

    ``networks`` are called by their names, or a network's layers by theirs: ``generator``,
    ``generator.output``.
    """
    found = []
    for network, module in networks.items():
        for name, child in module.named_modules():
            layer = f"{network}.{name}".split(".")[1]
            if (
                isinstance(child, (nn.Conv2d, nn.Linear))
                and layer not in ("input", "output")
                and getattr(child, "groups", 1) == 1
            ):
                found.append(cast(nn.Parameter, child.weight))
    return found


class Muon(torch.optim.Optimizer):
    """Muon for ``matrix_parameters``, AdamW for the others, one learning rate.

    Parameters
    ----------
    parameters
        Everything to be trained.
    matrix_parameters
        Those of them that are stepped by Muon, ``(out, ...)``.
    lr
        Learning rate of both.
    momentum
        Of Muon, in Nesterov's form.
    betas
        Of AdamW.
    weight_decay
        Of both.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        matrix_parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.8, 0.99),
        weight_decay: float = 1e-3,
    ) -> None:
        chosen = list(matrix_parameters)
        ids = {id(p) for p in chosen}
        others = [p for p in parameters if id(p) not in ids]
        groups = [{"params": chosen, "muon": True}, {"params": others, "muon": False}]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step along the gradients that are there."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None:
                    parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                    find = self._matrix_move if group["muon"] else self._adam_move
                    move = find(self.state[parameter], gradient, group)
                    parameter.add_(move, alpha=-group["lr"])
        return loss

    def _matrix_move(
        self, state: dict[str, Any], gradient: Tensor, group: dict[str, Any]
    ) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"]
        momentum.lerp_(gradient, 1.0 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"]).flatten(1)
        move = orthogonalized(ahead) * (ADAM_RMS * max(ahead.shape) ** 0.5)
        return move.view(gradient.shape)

    def _adam_move(self, state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> Tensor:
        first, second = group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
        state["step"] += 1
        state["mean"].lerp_(gradient, 1.0 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        count = float(state["step"])
        scale = (state["square"] / (1.0 - second**count)).sqrt_().add_(1e-8)
        return state["mean"] / scale / (1.0 - first**count)
