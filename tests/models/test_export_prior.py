"""The integer prior says what the float prior says, for a rate loss far below 0.5 %."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from streamcodec_models.export_prior import SCALES, integer_prior, logistic_tables, rate_loss

from streamcodec.core import integer_network as net
from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.tables import FrequencyTables
from streamcodec.errors import ModelError
from streamcodec.nn.prior import MAX_LOG_SCALE, MIN_LOG_SCALE, MaskedPrior, fill_prior

RATE_SCALES = (0.6, 1.0, 3.2)


def trained_like() -> MaskedPrior:
    """A prior whose outputs vary as a trained one's do, from random weights."""
    torch.manual_seed(3)
    prior = MaskedPrior(16, 3, 64, RATE_SCALES)
    with torch.no_grad():
        prior.output.weight.normal_(0, 0.25)
        prior.output.bias[16:] = torch.linspace(-1.5, 1.0, 16)
        prior.rate_bias.normal_(0, 0.3)
    return prior


def sampled(prior: MaskedPrior, count: int, steps: int, rate: int) -> np.ndarray:
    """Symbols drawn from the prior itself."""
    rng = np.random.default_rng(rate)
    symbols = torch.zeros(count, steps, prior.latent_dim)
    past = torch.zeros(count, prior.context_steps, prior.latent_dim)
    rates = torch.full((count,), rate)
    for n in range(steps):
        for c in range(prior.latent_dim):
            location, log_scale = prior.parameters_of(symbols, past, rates)
            uniform = torch.from_numpy(rng.uniform(1e-6, 1 - 1e-6, count)).float()
            draw = location[:, n, c] + log_scale[:, n, c].exp() * torch.logit(uniform)
            symbols[:, n, c] = draw.round()
    return symbols.numpy().astype(np.int32)


@pytest.mark.parametrize("rate", range(len(RATE_SCALES)))
def test_rate_loss(rate: int) -> None:
    prior = trained_like()
    integers = IntegerPrior(*integer_prior(prior))
    with torch.no_grad():
        symbols = sampled(prior, 12, 6, rate)
    bits = rate_loss(prior, integers, symbols, rate, steps_per_packet=2, refresh=3)
    print({name: round(value, 3) for name, value in bits.items()})
    assert abs(bits["integer"] / bits["float"] - 1) < 0.005
    assert 0 < 2 * (bits["packets"] - bits["integer"]) < 5


def test_parameters_agree() -> None:
    prior = trained_like()
    integers = IntegerPrior(*integer_prior(prior))
    symbols = np.random.default_rng(1).integers(-6, 7, (10, 16)).astype(np.int32)
    for rate in range(len(RATE_SCALES)):
        tables, centers = np.empty((2, 10, 16), np.int64)
        sequence = np.concatenate([integers.initial_context(), symbols])
        sums = net.empty_sums(integers.network)
        net.distributions(integers.network, rate, sequence, sums, tables, centers)
        with torch.no_grad():
            location, log_scale = prior.parameters_of(
                torch.from_numpy(symbols)[None].float(), torch.zeros(1, 3, 16), torch.tensor([rate])
            )
        coded = centers + (tables % 16 - 8) / 16
        step = (MAX_LOG_SCALE - MIN_LOG_SCALE) / (SCALES - 1)
        coded_scale = MIN_LOG_SCALE + tables // 16 * step
        # Half a step of the grid, and a little for the weights' rounding.
        assert np.abs(coded - location[0].numpy()).max() < 1 / 32 + 0.03 * RATE_SCALES[rate]
        assert np.abs(coded_scale - log_scale[0].numpy()).max() < step / 2 + 0.03


def test_tables_are_valid_and_logistic() -> None:
    reach, frequencies = logistic_tables()
    tables = FrequencyTables(reach, frequencies)
    assert len(reach) == SCALES
    assert frequencies.nbytes < 300_000
    # Scale 1 at 5/16 above an integer: probability of that integer from the closed form.
    scale = int(np.argmin(np.abs(np.linspace(MIN_LOG_SCALE, MAX_LOG_SCALE, SCALES))))
    spread = np.exp(np.linspace(MIN_LOG_SCALE, MAX_LOG_SCALE, SCALES)[scale])
    upper, lower = (1 / (1 + np.exp(-(x - 5 / 16) / spread)) for x in (0.5, -0.5))
    bits = tables.bits(np.array([16 * scale + 13]), np.array([0]))[0]
    assert bits == pytest.approx(-np.log2(upper - lower), abs=0.002)


def test_weights_beyond_the_integer_form_are_refused() -> None:
    prior = trained_like()
    with torch.no_grad():
        prior.middle.weight.fill_(40_000.0)
    with pytest.raises(ModelError):
        integer_prior(prior)


def test_the_integer_form_is_read_back() -> None:
    """A model need not bring its prior twice: the search reads what the coder runs."""
    prior = trained_like()
    integers = IntegerPrior(*integer_prior(prior))
    again = MaskedPrior(16, 3, 64, RATE_SCALES)
    fill_prior(again, {"encoder.input.weight": torch.zeros(1)}, integers.network)
    symbols = torch.randint(-6, 7, (6, 4, 16), generator=torch.Generator().manual_seed(2)).float()
    past = torch.randint(-3, 4, (6, 3, 16), generator=torch.Generator().manual_seed(3)).float()
    rates = torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.no_grad():
        wanted = prior.bits(symbols, symbols, past, rates)
        found = again.bits(symbols, symbols, past, rates)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.002)
    assert not any(p.requires_grad for p in again.parameters())
    with pytest.raises(ValueError, match="does not belong"):
        MaskedPrior(16, 3, 128, RATE_SCALES).read_integers(integers.network)
