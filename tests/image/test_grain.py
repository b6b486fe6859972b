"""Noise that depends on places alone, in bands of a wanted strength, learned from residuals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamcodec.image.drawing import texture, white_noise
from streamcodec.image.tiles import Box
from streamcodec.nn.grain import BANDS, MARGIN, Grain, bands_of, surprise
from streamcodec.nn.image import FOLD, PATCH, STRIDE


def test_noise_is_white_and_nearly_normal() -> None:
    noise = white_noise(Box(-7, 505, 90, 602)).astype(float)
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    # A sum of four uniform variables has an excess of -0.3.
    assert (noise**4).mean() == pytest.approx(2.7, abs=0.05)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 8), (16, 0)):
        shifted = np.roll(noise, (dy, dx), (0, 1))
        assert abs((noise * shifted).mean()) < 0.01


def test_noise_belongs_to_places() -> None:
    whole = white_noise(Box(-5, 60, -5, 80))
    np.testing.assert_array_equal(white_noise(Box(10, 30, 20, 50)), whole[15:35, 25:55])
    assert not np.array_equal(whole[:20, :20], whole[20:40, 20:40])


def test_bands_have_the_strength_that_is_asked_for() -> None:
    place = Box(0, 512, 0, 512)
    shape = (1, BANDS, 512 // PATCH, 512 // PATCH)
    for band in range(BANDS):
        strengths = torch.full(shape, -20.0)
        strengths[:, band] = np.log(0.03)
        drawn = texture(strengths, place)
        assert tuple(drawn.shape) == (1, 512, 512)
        assert float(drawn.std()) == pytest.approx(0.03, rel=0.03)
    strengths = torch.full(shape, np.log(0.01))
    strengths[..., 32:] = np.log(0.04)
    drawn = texture(strengths, place)[0]
    assert float(drawn[:, 300:].std()) > 3 * float(drawn[:, :200].std())


def test_bands_leave_out_what_is_coarse() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    assert float(bands_of(ramp).abs().max()) < 1e-6
    assert tuple(bands_of(ramp).shape) == (1, BANDS, 64 - 2 * MARGIN, 64 - 2 * MARGIN)


def test_the_least_surprising_strength_is_the_true_one() -> None:
    residual = 0.05 * torch.randn(4, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    true = bands_of(residual).square().mean((0, 2, 3)).sqrt().log()[None, :, None, None]
    strengths = true.expand(4, BANDS, 128 // PATCH, 128 // PATCH)
    least = float(surprise(strengths, residual))
    for off in (-0.2, 0.2):
        assert float(surprise(strengths + off, residual)) > least + 0.01


def test_strengths_are_learned_from_what_is_composed() -> None:
    """Residuals are strong where the first channel is high."""
    torch.manual_seed(0)
    grain = Grain(3)
    optimizer = torch.optim.Adam(grain.parameters(), lr=1e-2)
    for _ in range(150):
        composed = torch.rand(4, 3, 8, 8)
        deviation = 0.01 * (1 + 9 * composed[:, :1]).repeat_interleave(STRIDE, 2)
        residual = deviation.repeat_interleave(STRIDE, 3) * torch.randn(4, 1, 128, 128)
        optimizer.zero_grad()
        surprise(grain(composed), residual).backward()
        optimizer.step()
    composed = torch.full((1, 3, 8, 8), 0.5)
    composed[:, 0, :, 4:] = 1.0
    composed[:, 0, :, :4] = 0.0
    with torch.no_grad():
        found = grain(composed)[0, 0].exp()
    assert tuple(found.shape) == (FOLD * 8, FOLD * 8)
    assert 5 < float(found[:, 12:].mean() / found[:, :4].mean()) < 16
