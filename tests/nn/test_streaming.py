"""Every streaming network is causal, and feeding it in pieces is feeding it at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from streamcodec.nn.autoencoder import Encoder, Generator
from streamcodec.nn.layers import CausalDepthwise, CausalLinear, CausalStack, ConvNeXtBlock
from streamcodec.nn.vocoder import Vocoder

SMALL = {"latent_dim": 8, "channels": 16, "hidden": 24, "blocks": 2}

# name: network, input steps that it takes at a time, input channels
CASES: dict[str, tuple[nn.Module, int, int]] = {
    "dense": (CausalLinear(5, 7, 3), 1, 5),
    "depthwise": (CausalDepthwise(5, 4), 1, 5),
    "block": (ConvNeXtBlock(6, 12, 4, scale=0.5), 1, 6),
    "stack": (CausalStack(5, 8, 16, 3, input_kernel=2, kernel_size=4), 1, 5),
    "encoder": (Encoder(**SMALL), 4, 80),
    "generator": (Generator(**SMALL, erasures=True), 1, 8),
    "encoder with a shortcut": (Encoder(**SMALL, shortcut=True), 4, 80),
    "generator with a shortcut": (Generator(**SMALL, shortcut=True), 1, 8),
    "vocoder": (Vocoder(channels=16, hidden=24, blocks=2), 4, 80),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, int, Tensor]:
    network, unit, channels = CASES[request.param]
    generator = torch.Generator().manual_seed(3)
    return network.eval(), unit, torch.randn(2, 24 * unit, channels, generator=generator)


@torch.no_grad()
def test_pieces_equal_the_whole(case: tuple[nn.Module, int, Tensor]) -> None:
    network, unit, x = case
    whole, last = network(x)
    for sizes in ([1] * 24, [24], [5, 1, 7, 2, 9], [23, 1]):
        state, pieces, start = None, [], 0
        for size in sizes:
            y, state = network(x[:, start * unit : (start + size) * unit], state)
            pieces.append(y)
            start += size
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=2e-5, rtol=1e-4)
        flat = last if isinstance(last, list) else [last]
        for a, b in zip(state if isinstance(state, list) else [state], flat, strict=True):
            torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_future_input_does_not_change_past_output(case: tuple[nn.Module, int, Tensor]) -> None:
    network, unit, x = case
    before, _ = network(x)
    changed = x.clone()
    changed[:, 12 * unit :] += 10.0
    after, _ = network(changed)
    edge = before.shape[1] * 12 // 24
    torch.testing.assert_close(after[:, :edge], before[:, :edge], atol=2e-5, rtol=1e-4)
    assert not torch.allclose(after[:, edge:], before[:, edge:], atol=1e-3)


@torch.no_grad()
def test_memory_is_bounded(case: tuple[nn.Module, int, Tensor]) -> None:
    network, unit, x = case
    _, early = network(x[:, : 8 * unit])
    _, late = network(x, early)
    early, late = (s if isinstance(s, list) else [s] for s in (early, late))
    assert [s.shape for s in early] == [s.shape for s in late]
