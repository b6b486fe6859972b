"""Invented latents and fades, by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamcodec.core.entropy import IntegerPrior
from streamcodec.speech.concealment import (
    HOLD_STEPS,
    LEARNED_HOLD_STEPS,
    LONGEST_FADE,
    OWN_STEPS,
    PREDICTED_SHARE,
    Concealment,
)
from streamcodec.speech.geometry import FRAMES_PER_LATENT
from tests.core.small_prior import CHANNELS, RATES, small_prior

PRIOR = IntegerPrior(*small_prior())
GAINS = torch.linspace(0.5, 3.0, RATES * CHANNELS).reshape(RATES, CHANNELS)
RUNG = 1
SYMBOLS = np.array([[9] * CHANNELS, [1, -2, 3, 0, 5, -4]], np.int32)
LAST = torch.from_numpy(SYMBOLS[-1].astype(np.float32)) / GAINS[RUNG]
FOLLOWING = torch.tensor([-1.0, 0.0, 3.0, 4.0, 0.5, 0.0])


def heard() -> Concealment:
    concealment = Concealment(PRIOR, GAINS)
    concealment.heard(SYMBOLS, RUNG)
    return concealment


def test_a_gap_with_nothing_behind_it_follows_the_prediction_and_fades() -> None:
    latents, fade = heard().invent(60)
    predicted, _ = PRIOR.predict(60, SYMBOLS, RUNG)
    wanted = torch.from_numpy(predicted.astype(np.float32)) / GAINS[RUNG]
    torch.testing.assert_close(latents[20:], PREDICTED_SHARE * wanted[20:], atol=1e-2, rtol=1e-2)
    assert (fade[: HOLD_STEPS * FRAMES_PER_LATENT] == 0).all()
    assert (fade.diff() >= 0).all()
    assert float(fade[-1]) == LONGEST_FADE


def test_before_anything_is_heard_there_is_nothing_to_go_on() -> None:
    latents, _ = Concealment(PRIOR, GAINS).invent(3)
    assert not latents.any()


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (2, 2, 2), (4, 2)])
def test_a_gap_is_the_same_in_any_pieces(sizes: tuple[int, ...]) -> None:
    whole, pieces = heard().invent(6), []
    concealment = heard()
    for size in sizes:
        pieces.append(concealment.invent(size))
    for expected, found in zip(whole, zip(*pieces, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(found), expected)


def test_a_bridge_goes_straight_to_the_other_side() -> None:
    latents, fade = heard().bridge(3, FOLLOWING, 3)
    points = torch.stack([LAST, *latents, FOLLOWING])
    torch.testing.assert_close(points.diff(dim=0).diff(dim=0), torch.zeros(3, CHANNELS))
    assert (fade == 0).all()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_bridge_is_the_same_in_any_pieces(steps: int) -> None:
    whole, _ = heard().bridge(6, FOLLOWING, 6)
    concealment, left, pieces = heard(), 6, []
    while left:
        pieces.append(concealment.bridge(steps, FOLLOWING, left)[0])
        left -= steps
    torch.testing.assert_close(torch.cat(pieces), whole)


def test_a_bridge_takes_a_fade_back() -> None:
    concealment = heard()
    _, faded = concealment.invent(4)
    _, fade = concealment.bridge(2, FOLLOWING, 2)
    assert float(faded[-1]) > float(fade[0]) > float(fade[-1]) == 0.0


def test_what_is_heard_ends_the_fade_and_a_reset_forgets_all() -> None:
    concealment = heard()
    concealment.invent(6)
    concealment.heard(SYMBOLS, RUNG)
    torch.testing.assert_close(concealment.invent(2), heard().invent(2))
    concealment.reset()
    torch.testing.assert_close(concealment.invent(2), Concealment(PRIOR, GAINS).invent(2))


LOST = torch.arange(CHANNELS, dtype=torch.float32)


def test_a_generator_that_has_learned_it_is_told_of_the_loss_and_nothing_else() -> None:
    concealment = Concealment(PRIOR, GAINS, LOST)
    concealment.heard(SYMBOLS, RUNG)
    latents, fade = concealment.invent(60)
    assert (latents == LOST).all()
    assert (fade[: LEARNED_HOLD_STEPS * FRAMES_PER_LATENT] == 0).all()
    assert float(fade[-1]) == LONGEST_FADE


@pytest.mark.parametrize("sizes", [(6,), (2, 4), (1, 1, 1, 1, 1, 1)])
def test_such_a_generator_begins_a_long_bridge_by_itself(sizes: tuple[int, ...]) -> None:
    concealment, left, pieces = Concealment(PRIOR, GAINS, LOST), 6, []
    concealment.heard(SYMBOLS, RUNG)
    for size in sizes:
        pieces.append(concealment.bridge(size, FOLLOWING, left)[0])
        left -= size
    found, line = torch.cat(pieces), heard().bridge(6, FOLLOWING, 6)[0]
    assert (found[:OWN_STEPS] == LOST).all()
    torch.testing.assert_close(found[OWN_STEPS:], line[OWN_STEPS:])


def test_a_bridge_behind_learned_concealment_begins_with_what_was_heard() -> None:
    concealment = Concealment(PRIOR, GAINS, LOST)
    concealment.heard(SYMBOLS, RUNG)
    concealment.invent(2)
    latents, _ = concealment.bridge(2, FOLLOWING, 2)
    torch.testing.assert_close(latents, heard().bridge(2, FOLLOWING, 2)[0])
