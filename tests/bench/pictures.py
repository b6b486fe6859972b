"""A picture that codecs find neither trivial nor hopeless."""

import numpy as np


def make_scene(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Soft colour gradients, edges and grain, uint8 of shape (height, width, 3)."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 64.0
    waves = [np.sin(x * a + y * b + c) for a, b, c in generator.uniform(0.5, 3.0, (3, 3))]
    scene = 128.0 + 60.0 * np.stack(waves, axis=-1)
    scene[(x + 0.5 * y) % 2.0 < 0.7] -= 30.0
    scene += generator.normal(0.0, 6.0, scene.shape)
    return np.clip(np.round(scene), 0, 255).astype(np.uint8)
