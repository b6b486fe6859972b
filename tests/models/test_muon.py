"""Muon: orthogonal steps for matrices, AdamW for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from streamcodec_models.muon import ADAM_RMS, Muon, matrices, orthogonalized
from torch import nn


@pytest.mark.parametrize("shape", [(24, 80), (80, 24), (32, 32)])
def test_singular_values_come_out_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator)
    # Badly conditioned: what plain momentum would follow is one direction.
    matrix = matrix @ torch.diag(torch.logspace(0, -2, shape[1]))
    values = torch.linalg.svdvals(orthogonalized(matrix))
    assert values.max() < 1.3
    assert values.median() > 0.6
    before = torch.linalg.svdvals(matrix)
    assert before.max() / before.min() > 3 * values.max() / values.min()


def test_convolutions_inside_are_matrices_and_the_outermost_layers_are_not() -> None:
    network = nn.ModuleDict(
        {
            "input": nn.Conv2d(3, 4, 3),
            "mix": nn.Conv2d(4, 4, 3),
            "depthwise": nn.Conv2d(4, 4, 3, groups=4),
            "dense": nn.Linear(4, 4),
            "output": nn.Linear(4, 2),
        }
    )
    found = matrices({"network": network})
    wanted = {id(network["mix"].weight), id(network["dense"].weight)}
    assert {id(p) for p in found} == wanted
    # The same network, layer by layer.
    found = matrices({f"network.{name}": layer for name, layer in network.items()})
    assert {id(p) for p in found} == wanted


def test_it_learns_and_its_steps_are_as_large_as_those_of_adamw() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 16, 3))
    x = torch.randn(4, 3, 12, 12)
    target = torch.randn(1, 16, 1, 1).expand(4, 16, 10, 10)
    before = network[0].weight.detach().clone()
    optimizer = Muon(network.parameters(), matrices({"network": network}), 0.01, weight_decay=0.0)
    losses = []
    for _ in range(60):
        loss = (network(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not losses:
            moved = (network[0].weight.detach() - before).square().mean().sqrt()
            assert float(moved) == pytest.approx(0.01 * ADAM_RMS, rel=0.35)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_its_state_can_be_kept_and_taken_up() -> None:
    def begun() -> tuple[nn.Conv2d, Muon]:
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3)
        return layer, Muon(layer.parameters(), [layer.weight], 0.01)

    def step(layer: nn.Conv2d, optimizer: Muon, seed: int) -> None:
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(seed)
        layer(torch.randn(1, 3, 5, 5, generator=generator)).square().sum().backward()
        optimizer.step()

    layer, optimizer = begun()
    other, resumed = begun()
    step(layer, optimizer, 1)
    other.load_state_dict(layer.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(layer, optimizer, 2)
    step(other, resumed, 2)
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)
