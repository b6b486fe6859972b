"""The loss of compressed amplitudes."""

from __future__ import annotations

import pytest
import torch
from streamcodec_models.losses import amplitude_loss

STD = 2.4
SPEECH = torch.randn(2, 40, 80, generator=torch.Generator().manual_seed(0)) * 0.7


def test_it_vanishes_at_the_target_only():
    assert amplitude_loss(SPEECH, SPEECH, STD) < 1e-3
    assert amplitude_loss(SPEECH + 0.1, SPEECH, STD) > 0.05


def test_a_louder_recording_loses_as_much():
    noisy = SPEECH + 0.1 * torch.randn(SPEECH.shape, generator=torch.Generator().manual_seed(1))
    quiet, loud = (float(amplitude_loss(noisy + d, SPEECH + d, STD)) for d in (0.0, 0.5))
    assert loud == pytest.approx(quiet, rel=1e-3)


def test_loud_bands_count_more_than_quiet_ones():
    loudest = SPEECH[0, 0].argmax()
    quietest = SPEECH[0, 0].argmin()
    losses = []
    for band in (loudest, quietest):
        changed = SPEECH.clone()
        changed[0, 0, band] -= 0.5
        losses.append(float(amplitude_loss(changed, SPEECH, STD)))
    assert losses[0] > 3 * losses[1]


def test_silence_and_nonsense_stay_finite():
    silence = torch.full((1, 8, 80), -3.0)
    wild = torch.full((1, 8, 80), 50.0, requires_grad=True)
    loss = amplitude_loss(wild, silence, STD)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(wild.grad).all()
