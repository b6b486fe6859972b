"""What the speech search calls close."""

from __future__ import annotations

import pytest
import torch

from streamcodec.speech.distance import MAX_NORMALIZED, loudness_distance

SPEECH = torch.randn(1, 8, 80, generator=torch.Generator().manual_seed(0)) * 0.7


def noisy(count, share=0.2):
    noise = torch.randn(count, 8, 80, generator=torch.Generator().manual_seed(1))
    return SPEECH + share * noise


def test_it_is_one_number_a_candidate_and_next_to_nothing_at_the_target():
    distances = loudness_distance(torch.cat([noisy(2), SPEECH]), SPEECH)
    assert distances.shape == (3,)
    assert distances[2] < 1e-2 * distances[0]


def test_candidates_do_not_see_each_other():
    together = loudness_distance(noisy(5), SPEECH)
    alone = torch.cat([loudness_distance(one[None], SPEECH) for one in noisy(5)])
    torch.testing.assert_close(together, alone)


def test_loud_bands_count_more():
    loud, quiet = SPEECH.clone(), SPEECH.clone()
    loud.view(-1)[SPEECH.argmax()] -= 0.5
    quiet.view(-1)[SPEECH.argmin()] -= 0.5
    distances = loudness_distance(torch.cat([loud, quiet]), SPEECH)
    assert distances[0] > 3 * distances[1]


def test_one_band_far_off_is_worse_than_many_nearly_right():
    flat = torch.zeros(1, 4, 80)
    gathered, spread = flat.clone(), flat.clone()
    gathered[:, :, 10] = 0.8
    spread += 0.8 / 80
    assert loudness_distance(gathered, flat) > 2 * loudness_distance(spread, flat)


def test_it_has_a_finite_slope_everywhere():
    wild = torch.full((2, 8, 80), 10 * MAX_NORMALIZED)
    wild[1] = SPEECH[0]
    wild.requires_grad_()
    loudness_distance(wild, SPEECH).sum().backward()
    assert torch.isfinite(wild.grad).all()


def test_its_size_is_that_of_the_trained_loss_where_speech_is_usually_missed():
    # Constants were set on G's usual error: 0.1 in the trained loss.
    assert float(loudness_distance(noisy(1, 0.11), SPEECH)[0]) == pytest.approx(0.1, abs=0.05)
