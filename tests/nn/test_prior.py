"""The prior sees only what the decoder will have."""

from __future__ import annotations

import pytest
import torch

from streamcodec.nn.prior import MaskedPrior, logistic_bits


@pytest.fixture
def prior() -> MaskedPrior:
    torch.manual_seed(5)
    prior = MaskedPrior(latent_dim=8, context_steps=2, hidden=32, rate_scales=(0.5, 1.0))
    torch.nn.init.normal_(prior.output.weight, std=0.5)
    torch.nn.init.normal_(prior.rate_bias, std=0.5)
    return prior


@torch.no_grad()
def test_a_symbol_never_sees_itself_or_what_follows(prior: MaskedPrior) -> None:
    symbols = torch.randint(-3, 4, (1, 5, 8)).float()
    past, rate = torch.zeros(1, 2, 8), torch.tensor([1])
    before = torch.stack(prior.parameters_of(symbols, past, rate))
    for step, channel in ((0, 0), (2, 3), (4, 7)):
        changed = symbols.clone()
        changed[0, step, channel] += 5
        after = torch.stack(prior.parameters_of(changed, past, rate))
        differs = (after != before).any(dim=0)[0]
        assert not differs[:step].any()
        assert not differs[step, : channel + 1].any()
        if channel < 7:
            assert differs[step, channel + 1 :].any()


@torch.no_grad()
def test_context_reaches_as_far_as_stated(prior: MaskedPrior) -> None:
    symbols = torch.randint(-3, 4, (1, 6, 8)).float()
    past, rate = torch.zeros(1, 2, 8), torch.tensor([0])
    before = torch.stack(prior.parameters_of(symbols, past, rate))
    changed = symbols.clone()
    changed[0, 1] += 5
    differs = (torch.stack(prior.parameters_of(changed, past, rate)) != before).any(dim=0)[0]
    assert differs[2].any()
    assert differs[3].any()
    assert not differs[4:].any()


def test_bits_of_a_logistic_are_those_of_its_interval() -> None:
    # Logistic of scale 1 over [-0.5, 0.5]: 2 sigmoid(0.5) - 1 = 0.244919.
    bits = logistic_bits(torch.zeros(1), torch.zeros(1))
    assert bits.item() == pytest.approx(2.02964, abs=1e-3)
    far = logistic_bits(torch.tensor([1e6]), torch.zeros(1))
    assert far.item() == pytest.approx(20.0, abs=1e-3)


@torch.no_grad()
def test_probabilities_sum_to_one(prior: MaskedPrior) -> None:
    values = torch.arange(-40.0, 41.0)
    for log_scale in (-2.5, 0.0, 1.5):
        bits = logistic_bits(values - 0.3, torch.tensor(log_scale))
        total = (2.0**-bits - 2.0**-20).sum().item()
        assert total == pytest.approx(1.0, abs=2e-3)
