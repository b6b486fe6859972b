"""A small integer prior for tests: random weights, a few tables, everything made of integers."""

from __future__ import annotations

import numpy as np

CHANNELS, HIDDEN, CONTEXT_STEPS, RATES = 6, 12, 2, 2
REACH = (1, 2, 5, 17)
METADATA = {
    "version": 1,
    "context_steps": CONTEXT_STEPS,
    "input_shift": 8,
    "first_shift": 9,
    "middle_shift": 8,
    "output_shift": 23,
    "scale_multiplier": 1 << 11,
    "scales": len(REACH),
}


def small_prior(
    seed: int = 1, context_steps: int = CONTEXT_STEPS
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    rng = np.random.default_rng(seed)

    def weights(*shape: int, largest: int) -> np.ndarray:
        return rng.integers(-largest, largest, shape, endpoint=True)

    tensors = {
        "context": weights(context_steps * CHANNELS, HIDDEN, largest=150).astype(np.int16),
        "current": weights(CHANNELS, HIDDEN, largest=400).astype(np.int16),
        "middle": weights(HIDDEN, HIDDEN, largest=200).astype(np.int16),
        "output": weights(HIDDEN, 2 * CHANNELS, largest=200).astype(np.int16),
        "first_bias": weights(RATES, HIDDEN, largest=30_000).astype(np.int32),
        "middle_bias": weights(HIDDEN, largest=10_000).astype(np.int32),
        "output_bias": weights(2 * CHANNELS, largest=3_000).astype(np.int32),
        "input_multiplier": np.array([1 << 16, 1 << 15], np.int64),
        "location_multiplier": np.array([1 << 13, 1 << 14], np.int64),
        "scale_offset": np.array([3 << 22, 5 << 22], np.int64),
        "table_reach": np.array(REACH, np.uint16),
        "table_frequencies": np.concatenate(
            [_table(reach, fraction) for reach in REACH for fraction in range(16)]
        ).astype(np.uint16),
    }
    return tensors, METADATA | {"context_steps": context_steps}


def _table(reach: int, fraction: int) -> np.ndarray:
    """Falls with the square of the distance from the location; escape at the end."""
    distance = 16 * np.arange(-reach, reach + 1) - (fraction - 8)
    share = 1_000_000 * (1 + reach * reach) // (16 * (1 + reach * reach) + distance * distance)
    share = np.append(share, share.min() // 4)
    frequencies = 1 + share * (65_536 - len(share)) // share.sum()
    frequencies[reach] += 65_536 - frequencies.sum()
    return frequencies


def heavy_tailed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Symbols of which most are small, some escape and a few are as large as any may be."""
    symbols = np.round(rng.standard_t(1.5, shape) * 2)
    symbols = np.where(rng.random(shape) < 0.01, 32_767 * rng.choice([-1, 1], shape), symbols)
    return np.clip(symbols, -32_767, 32_767).astype(np.int32)
