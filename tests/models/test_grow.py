"""A grown model does what it did before, and more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from streamcodec_models.grow import grow, grown, seen_in_pictures, seen_in_speech
from streamcodec_models.image_model import ImageConfig, ImageModel
from streamcodec_models.speech_model import SpeechConfig, SpeechModel

from tests.signals import real_speech

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
    return small, grown(small, 12, seen_in_pictures(small, pictures(400, 0)))


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
    small = small_model()
    with pytest.raises(ValueError, match="has 8 latents"):
        grown(small, latents, seen_in_pictures(small, pictures(2, 0)))


@torch.no_grad()
def test_speech_grows_likewise() -> None:
    torch.manual_seed(2)
    small = SpeechModel(
        SpeechConfig(latent_dim=6, channels=16, hidden=24, blocks=1, prior_hidden=12,
                     vocoder_channels=8, vocoder_hidden=8, vocoder_blocks=1, shortcut=False)
    )  # fmt: skip
    torch.nn.init.normal_(small.prior.output.weight, std=0.1)
    torch.nn.init.normal_(small.generator.lost)
    sounds = torch.from_numpy(np.stack([real_speech(4.0), real_speech(4.0)[::-1]]))
    large = grown(small, 10, seen_in_speech(small, sounds))
    mel, rate = small.mel(sounds), torch.tensor([1, 3])
    latents = small.encoder(mel)[0]
    torch.testing.assert_close(large.encoder(mel)[0][..., :6], latents)
    symbols = (3 * latents).round()
    padded = torch.cat([symbols, torch.zeros(*symbols.shape[:2], 4)], dim=2)
    torch.testing.assert_close(large.generator(padded)[0], small.generator(symbols)[0])
    torch.testing.assert_close(large.generator.lost[:6], small.generator.lost)
    padded[..., 6:] = 2.0
    past = [torch.zeros(2, 4, dim) for dim in (6, 10)]
    bits = [
        m.prior.bits(s, s, p, rate)
        for m, s, p in zip((small, large), (symbols, padded), past, strict=True)
    ]
    torch.testing.assert_close(bits[1][..., :6], bits[0])
    errors = [(m.generator(m.encoder(mel)[0])[0] - mel).square().mean() for m in (small, large)]
    assert errors[1] < 0.7 * errors[0]


def test_what_cannot_be_grown_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no finished run"):
        grow(tmp_path, tmp_path / "new", 9, tmp_path, tmp_path)
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(FileExistsError, match="holds a model already"):
        grow(tmp_path, tmp_path, 9, tmp_path, tmp_path)
