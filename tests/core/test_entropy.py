"""Symbols to payload and back: exact, the same everywhere, and safe for any bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.core.entropy import IntegerPrior
from streamcodec.errors import CorruptPacketError, FormatError, InputError
from tests.core.reference import CorruptError, Prior
from tests.core.small_prior import CHANNELS, RATES, heavy_tailed, small_prior

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "prior_small.json").read_text())
ROOT = Path(__file__).parents[2]


def stored_prior() -> IntegerPrior:
    tensors, metadata = small_prior()
    arrays = {k: np.array(VECTORS["model"][k], a.dtype) for k, a in tensors.items()}
    return IntegerPrior(arrays, {k: VECTORS["model"][k] for k in metadata})


PRIOR = stored_prior()


@pytest.mark.parametrize("number", range(len(VECTORS["packets"])))
def test_vectors(number: int) -> None:
    vector = VECTORS["packets"][number]
    symbols = np.array(vector["symbols"], np.int32)
    context = np.array(vector["context"], np.int32)
    payload = bytes.fromhex(vector["payload"])
    encoded, after = PRIOR.encode(symbols, context, vector["rate"])
    assert encoded == payload
    assert after.tolist() == vector["context_after"]
    decoded, after = PRIOR.decode(payload, len(symbols), context, vector["rate"])
    assert decoded.tolist() == vector["symbols"]
    assert after.tolist() == vector["context_after"]
    assert decoded.dtype == after.dtype == np.int32


def test_the_document_decodes_the_vectors() -> None:
    reference = Prior(VECTORS["model"])
    for vector in VECTORS["packets"]:
        payload, steps = bytes.fromhex(vector["payload"]), len(vector["symbols"])
        symbols, after = reference.decode(payload, steps, vector["context"], vector["rate"])
        assert symbols == vector["symbols"]
        assert after == vector["context_after"]


def test_first_packet_literally() -> None:
    """Also written out here, so that no regenerated file hides a change of the bitstream."""
    symbols = np.array([[0, -1, 2, 0, 0, -30], [1, 0, 0, 0, 400, -32_767]], np.int32)
    payload, _ = PRIOR.encode(symbols, PRIOR.initial_context(), 0)
    assert payload.hex() == "51b17a2f83a7f7acb9e4d881e9f7c5"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(-32_767, 32_767) | st.integers(-3, 3), min_size=6, max_size=6),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, RATES - 1),
)
def test_any_symbols_come_back(rows: list[list[int]], rate: int) -> None:
    symbols, context = np.array(rows, np.int32), PRIOR.initial_context()
    payload, after = PRIOR.encode(symbols, context, rate)
    assert len(payload) <= PRIOR.max_payload(len(symbols))
    decoded, decoded_after = PRIOR.decode(payload, len(symbols), context, rate)
    assert np.array_equal(decoded, symbols)
    assert np.array_equal(decoded_after, after)
    assert not context.any()


def test_a_stream_of_packets_and_its_bits() -> None:
    seed = 8
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    context = decoder_context = PRIOR.initial_context()
    overhead = []
    for k in range(300):
        steps, rate = int(rng.integers(1, 4)), int(rng.integers(RATES))
        if k % 25 == 0:
            context = decoder_context = PRIOR.initial_context()
        symbols = heavy_tailed(rng, steps, CHANNELS)
        bits = PRIOR.bits(symbols, context, rate)
        payload, context = PRIOR.encode(symbols, context, rate)
        decoded, decoder_context = PRIOR.decode(payload, steps, decoder_context, rate)
        assert np.array_equal(decoded, symbols)
        assert np.array_equal(context, decoder_context)
        overhead.append(8 * len(payload) - bits)
    print(f"sealing takes {np.mean(overhead):.2f} bits a packet")
    assert np.mean(overhead) < 5
    assert np.max(overhead) < 10


def test_candidates_cost_what_they_cost_alone() -> None:
    rng = np.random.default_rng(9)
    context = heavy_tailed(rng, PRIOR.context_steps, CHANNELS)
    candidates = heavy_tailed(rng, 9, 2, CHANNELS)
    costs = PRIOR.candidate_bits(candidates, context, 1)
    assert costs.shape == (9,)
    alone = [PRIOR.bits(candidate, context, 1) for candidate in candidates]
    np.testing.assert_array_equal(costs, alone)
    assert PRIOR.candidate_bits(candidates[:0], context, 1).shape == (0,)


def test_the_largest_payload_is_within_its_limit() -> None:
    """Signs chosen symbol by symbol so that each is as far from its center as it can be."""
    symbols = np.zeros((3, CHANNELS), np.int32)
    context = PRIOR.initial_context()
    for n in range(3):
        for c in range(CHANNELS):
            trials = np.repeat(symbols[None], 2, 0)
            trials[:, n, c] = 32_767, -32_767
            symbols = trials[np.argmax(PRIOR.candidate_bits(trials, context, 0))]
    payload, _ = PRIOR.encode(symbols, context, 0)
    assert len(payload) <= PRIOR.max_payload(3)
    with pytest.raises(CorruptPacketError, match="at most"):
        PRIOR.decode(bytes(PRIOR.max_payload(3) + 1), 3, context, 0)


def test_any_payload_decodes_or_is_corrupt() -> None:
    """What the library takes the document's decoder takes, and what one refuses the other does."""
    seed = 10
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    reference = Prior(VECTORS["model"])
    context = PRIOR.initial_context()
    began, passed = time.perf_counter(), 0
    for k in range(3000):
        payload = bytearray(PRIOR.encode(heavy_tailed(rng, 2, CHANNELS), context, 0)[0])
        kind = k % 4
        if kind == 0 and payload:
            payload[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        elif kind == 1:
            payload = payload[: rng.integers(len(payload) + 1)]
        elif kind == 2:
            payload += rng.bytes(int(rng.integers(1, 5)))
        else:
            payload = bytearray(rng.bytes(int(rng.integers(0, PRIOR.max_payload(2) + 3))))
        try:
            symbols, after = PRIOR.decode(bytes(payload), 2, context, 0)
        except CorruptPacketError:
            symbols = None
        if symbols is not None:
            passed += 1
            again, _ = PRIOR.encode(symbols, context, 0)
            assert again == payload
            assert np.array_equal(after, symbols)
        if k % 20 == 0 and len(payload) <= PRIOR.max_payload(2):
            try:
                expected = reference.decode(bytes(payload), 2, context.tolist(), 0)[0]
            except CorruptError:
                expected = None
            assert expected == (None if symbols is None else symbols.tolist())
    assert passed > 100
    assert time.perf_counter() - began < 60


def test_wrong_arguments_are_named() -> None:
    context = PRIOR.initial_context()
    good = np.zeros((2, CHANNELS), np.int32)
    for symbols, other_context, rate, words in (
        (good[:, :-1], context, 0, "expected symbols"),
        (good[0], context, 0, "expected symbols"),
        (good.astype(float), context, 0, "expected integers"),
        (good + 32_768, context, 0, "within"),
        (good - 32_768, context, 0, "within"),
        (good, context[:-1], 0, "initial_context"),
        (good, context, RATES, "expected a rate"),
        (good, context, -1, "expected a rate"),
    ):
        with pytest.raises(InputError, match=words):
            PRIOR.encode(symbols, other_context, rate)
    with pytest.raises(InputError, match="candidates"):
        PRIOR.candidate_bits(good, context, 0)
    with pytest.raises(CorruptPacketError, match="rate"):
        PRIOR.decode(b"", 2, context, RATES)
    with pytest.raises(FormatError):
        PRIOR.decode(b"", 2, context, 7)


DECODE_ALL = """
import hashlib, sys
import numpy as np
from tests.core.test_entropy import PRIOR, VECTORS
digest = hashlib.sha256()
for vector in VECTORS["packets"]:
    payload, steps = bytes.fromhex(vector["payload"]), len(vector["symbols"])
    context = np.array(vector["context"], np.int32)
    symbols, after = PRIOR.decode(payload, steps, context, vector["rate"])
    digest.update(symbols.tobytes() + after.tobytes())
    digest.update(PRIOR.encode(symbols, context, vector["rate"])[0])
print(digest.hexdigest())
"""


def test_the_same_on_any_machine() -> None:
    """Threads, instruction set, and compiled or not make no difference."""
    machines = [
        {},
        {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "4"},
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_DISABLE_JIT": "1"},
    ]
    digests = set()
    for machine in machines:
        path = os.pathsep.join([str(ROOT), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, **machine}
        result = subprocess.run(
            [sys.executable, "-c", DECODE_ALL],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        digests.add(result.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("seed", range(5))
def test_what_is_predicted_costs_less_than_anything_beside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate = seed % RATES
    context = heavy_tailed(rng, *PRIOR.initial_context().shape)
    locations, after = PRIOR.predict(3, context, rate)
    symbols = after[-len(context) :]
    assert locations.shape == (3, CHANNELS)
    np.testing.assert_allclose(locations[-len(symbols) :], symbols, atol=0.5)
    np.testing.assert_array_equal(locations * 16, np.round(locations * 16))
    first, _ = PRIOR.predict(1, context, rate)
    np.testing.assert_array_equal(first[0], locations[0])
    best = np.floor(first + 0.5).astype(np.int32)
    costs = PRIOR.candidate_bits(
        np.stack([best] + [best + d * (np.arange(CHANNELS) == CHANNELS - 1) for d in (-2, 2)]),
        context, rate,
    )  # fmt: skip
    assert costs[0] < costs[1:].min()


def test_a_prediction_goes_on_from_its_own_context() -> None:
    context = heavy_tailed(np.random.default_rng(9), *PRIOR.initial_context().shape)
    whole, end = PRIOR.predict(5, context, 1)
    pieces = []
    for steps in (2, 1, 2):
        piece, context = PRIOR.predict(steps, context, 1)
        pieces.append(piece)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(context, end)
    with pytest.raises(InputError):
        PRIOR.predict(1, context, RATES)
