"""A grown image model does what it did before, and more."""

from __future__ import annotations

import pytest
import torch
from streamcodec_models.grow import grown
from streamcodec_models.image_model import ImageConfig, ImageModel

SMALL = ImageConfig(
    latent_dim=8, patch_channels=16, channels=16, encoder_patch_blocks=1, encoder_blocks=1,
    generator_patch_blocks=1, generator_blocks=1, shortcut=False, prior_hidden=16,
)  # fmt: skip
DEAD_LATENT = 3


def small_model() -> ImageModel:
    """Random weights that draw little; one of the latents is always zero."""
    torch.manual_seed(1)
    model = ImageModel(SMALL)
    with torch.no_grad():
        torch.nn.init.normal_(model.prior.output.weight, std=0.1)
        model.encoder.output.weight *= 20.0
        model.generator.output.weight *= 0.02
        model.encoder.output.weight[DEAD_LATENT] = 0.0
        model.encoder.output.bias[DEAD_LATENT] = 0.0
    return model


def pictures(count: int, seed: int) -> torch.Tensor:
    """Smooth ones: what they lack has few large components."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 4, 4, generator=rng)
    return torch.nn.functional.interpolate(small, 64, mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def models() -> tuple[ImageModel, ImageModel]:
    small = small_model()
    return small, grown(small, 12, pictures(400, 0))


def others(values: torch.Tensor) -> torch.Tensor:
    """Latents that the small model has and uses."""
    return values[..., [i for i in range(SMALL.latent_dim) if i != DEAD_LATENT]]


@torch.no_grad()
def test_old_latents_stay_and_are_drawn_and_rated_as_before(
    models: tuple[ImageModel, ImageModel],
) -> None:
    small, large = models
    x, rate = pictures(2, 1), torch.tensor([1, 4])
    before, after = small.encoder(x), large.encoder(x)
    torch.testing.assert_close(others(after), others(before))
    torch.testing.assert_close(large.log_gain[:, :3], small.log_gain[:, :3])
    symbols = (4 * before).round()
    padded = torch.cat([symbols, torch.zeros(*symbols.shape[:3], 4)], dim=3)
    torch.testing.assert_close(large.generator(padded), small.generator(symbols))
    # New symbols of neighbours do not change what the old ones cost either.
    padded[..., SMALL.latent_dim :] = 1.0
    bits = small.prior.tile_bits(symbols, symbols, rate)
    found = large.prior.tile_bits(padded, padded, rate)
    torch.testing.assert_close(others(found), others(bits))


@torch.no_grad()
def test_new_latents_carry_what_was_lacking(models: tuple[ImageModel, ImageModel]) -> None:
    x = pictures(20, 2)
    errors = [(m.generator(m.encoder(x)) - x).square().mean() for m in models]
    assert errors[1] < 0.5 * errors[0]
    assert models[1].encoder(x)[..., DEAD_LATENT].std() > 0.01


def test_all_of_it_can_be_trained_on(models: tuple[ImageModel, ImageModel]) -> None:
    decoded, bits = models[1](pictures(2, 3), torch.tensor([5, 5]))
    (decoded.square().sum() + bits.sum()).backward()
    for name, parameter in models[1].named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert models[1].encoder.shortcut is not None
    assert models[1].encoder.shortcut.weight.grad[SMALL.latent_dim :].abs().max() > 0


@pytest.mark.parametrize("latents", [8, 4])
def test_it_does_not_shrink(latents: int) -> None:
    with pytest.raises(ValueError, match="has 8 latents"):
        grown(small_model(), latents, pictures(2, 0))
