"""The network gives the same numbers whichever way it is asked."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.core import integer_network as net
from streamcodec.core.entropy import IntegerPrior
from tests.core.reference import Prior
from tests.core.small_prior import CHANNELS, CONTEXT_STEPS, heavy_tailed, small_prior


@pytest.fixture(scope="module")
def prior() -> IntegerPrior:
    return IntegerPrior(*small_prior())


def all_at_once(prior: IntegerPrior, sequence: np.ndarray, rate: int) -> tuple:
    steps = len(sequence) - CONTEXT_STEPS
    tables, centers = np.empty((2, steps, CHANNELS), np.int64)
    sums = net.empty_sums(prior.network)
    net.distributions(prior.network, rate, sequence, sums, tables, centers)
    return tables, centers


def test_decoder_and_encoder_ask_the_same(prior: IntegerPrior) -> None:
    rng = np.random.default_rng(1)
    for rate in (0, 1):
        sequence = heavy_tailed(rng, CONTEXT_STEPS + 20, CHANNELS)
        tables, centers = all_at_once(prior, sequence, rate)
        sums = net.empty_sums(prior.network)
        for n in range(20):
            net.start_step(prior.network, rate, sequence[n : n + CONTEXT_STEPS], sums)
            previous = 0
            for c in range(CHANNELS):
                asked = net.tell_and_ask(prior.network, rate, c, previous, sums)
                assert asked == (tables[n, c], centers[n, c])
                previous = int(sequence[CONTEXT_STEPS + n, c])


def test_a_channel_does_not_see_itself_or_later_ones(prior: IntegerPrior) -> None:
    rng = np.random.default_rng(2)
    sequence = heavy_tailed(rng, CONTEXT_STEPS + 1, CHANNELS)
    tables, centers = all_at_once(prior, sequence, 0)
    for c in range(CHANNELS):
        changed = sequence.copy()
        changed[-1, c:] = heavy_tailed(rng, CHANNELS - c)
        other_tables, other_centers = all_at_once(prior, changed, 0)
        assert np.array_equal(tables[0, : c + 1], other_tables[0, : c + 1])
        assert np.array_equal(centers[0, : c + 1], other_centers[0, : c + 1])


def test_as_the_document_says(prior: IntegerPrior) -> None:
    tensors, metadata = small_prior()
    reference = Prior({name: a.tolist() for name, a in tensors.items()} | metadata)
    rng = np.random.default_rng(3)
    for rate in (0, 1):
        sequence = heavy_tailed(rng, CONTEXT_STEPS + 12, CHANNELS)
        tables, centers = all_at_once(prior, sequence, rate)
        for n in range(12):
            past = sequence[n : n + CONTEXT_STEPS].tolist()
            for c in range(CHANNELS):
                known = sequence[CONTEXT_STEPS + n, :c].tolist()
                assert reference.distribution(past, known, rate) == (tables[n, c], centers[n, c])


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_candidates_are_rated_as_sequences_are(prior: IntegerPrior, steps: int) -> None:
    rng = np.random.default_rng(4)
    context = heavy_tailed(rng, CONTEXT_STEPS, CHANNELS)
    candidates = heavy_tailed(rng, 7, steps, CHANNELS)
    tables, centers = np.empty((2, *candidates.shape), np.int64)
    sums = net.empty_sums(prior.network)
    net.candidate_distributions(prior.network, 1, context, candidates, sums, tables, centers)
    for k, candidate in enumerate(candidates):
        expected = all_at_once(prior, np.concatenate([context, candidate]), 1)
        assert np.array_equal(tables[k], expected[0])
        assert np.array_equal(centers[k], expected[1])


def test_the_largest_sums_fit() -> None:
    """At the limit of what passes the check, 32-bit sums equal sums in plain Python."""
    tensors, metadata = small_prior()
    inputs = (CONTEXT_STEPS + 1) * CHANNELS
    largest = (2**31 - 1 - 2**20) // (32_767 * inputs)
    tensors["context"] = np.full_like(tensors["context"], largest)
    tensors["current"] = np.full_like(tensors["current"], -largest)
    tensors["first_bias"] = np.full_like(tensors["first_bias"], 2**20 - 2**10)
    prior = IntegerPrior(tensors, metadata)
    assert not net.overflows(prior.network)
    reference = Prior({name: a.tolist() for name, a in tensors.items()} | metadata)
    for value in (32_767, -32_767):
        sequence = np.full((CONTEXT_STEPS + 1, CHANNELS), value, np.int32)
        sequence[-1] *= -1
        tables, centers = all_at_once(prior, sequence, 0)
        for c in range(CHANNELS):
            expected = reference.distribution(sequence[:-1].tolist(), sequence[-1, :c].tolist(), 0)
            assert expected == (tables[0, c], centers[0, c])
