"""No model file, however odd, does anything but load or raise ModelError."""

from __future__ import annotations

import numpy as np
import pytest

from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.prior_file import LAYOUT_NAMES
from streamcodec.errors import ModelError
from tests.core.small_prior import CHANNELS, heavy_tailed, small_prior

NAMES = sorted(small_prior()[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_cut_or_retyped_tensor_is_refused(name: str) -> None:
    for change in (
        None,
        lambda a: a[:-1],
        lambda a: a[:0],
        lambda a: a.astype(np.float32),
        lambda a: a.astype(np.uint8),
        lambda a: a[None],
        lambda a: np.concatenate([a, a]),
    ):
        tensors, metadata = small_prior()
        if change is None:
            del tensors[name]
        else:
            tensors[name] = change(tensors[name])
        with pytest.raises(ModelError):
            IntegerPrior(tensors, metadata)


@pytest.mark.parametrize("name", LAYOUT_NAMES)
def test_an_odd_number_is_refused(name: str) -> None:
    for value in (None, "4", 1.5, -1, 2**70, [3]):
        tensors, metadata = small_prior()
        with pytest.raises(ModelError):
            IntegerPrior(tensors, {**metadata, name: value})
        del metadata[name]
        with pytest.raises(ModelError, match=name):
            IntegerPrior(tensors, metadata)


def test_another_version_is_named() -> None:
    tensors, metadata = small_prior()
    with pytest.raises(ModelError, match="version 1, found 2"):
        IntegerPrior(tensors, metadata | {"version": 2})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context", 32_767),
        ("middle", -32_768),
        ("output", 32_767),
        ("first_bias", 2**31 - 1),
        ("output_bias", -(2**31)),
        ("input_multiplier", 0),
        ("location_multiplier", 2**31),
        ("scale_offset", -(2**63)),
    ],
)
def test_what_could_overflow_is_refused(name: str, value: int) -> None:
    tensors, metadata = small_prior()
    tensors[name] = np.full_like(tensors[name], value)
    with pytest.raises(ModelError, match="out of range"):
        IntegerPrior(tensors, metadata)


def test_random_damage_loads_or_is_refused() -> None:
    seed = 6
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    loaded = 0
    for _ in range(400):
        tensors, metadata = small_prior()
        name = str(rng.choice(NAMES))
        raw = bytearray(tensors[name].tobytes())
        for _ in range(rng.integers(1, 4)):
            raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        tensors[name] = np.frombuffer(raw, tensors[name].dtype).reshape(tensors[name].shape)
        try:
            prior = IntegerPrior(tensors, metadata)
        except ModelError:
            continue
        loaded += 1
        symbols = heavy_tailed(rng, 2, CHANNELS)
        payload, _ = prior.encode(symbols, prior.initial_context(), 0)
        decoded, _ = prior.decode(payload, 2, prior.initial_context(), 0)
        assert np.array_equal(decoded, symbols)
    assert loaded > 50
