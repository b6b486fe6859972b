"""Makes prior_small.json. Run it only with a new version of the bitstream::

python -m tests.vectors.make_prior_small
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from streamcodec.core.entropy import IntegerPrior
from tests.core.small_prior import CHANNELS, heavy_tailed, small_prior

SEED = 20
STEPS_OF = (2, 2, 1, 2, 3, 2)
RATE_OF = (0, 0, 0, 1, 1, 0)
REFRESH_AT = (0, 3)


def main() -> None:
    tensors, metadata = small_prior()
    prior = IntegerPrior(tensors, metadata)
    rng = np.random.default_rng(SEED)
    packets = []
    for k, (steps, rate) in enumerate(zip(STEPS_OF, RATE_OF, strict=True)):
        if k in REFRESH_AT:
            context = prior.initial_context()
        symbols = heavy_tailed(rng, steps, CHANNELS)
        if k == 1:  # likely symbols: a short payload
            symbols = np.zeros_like(symbols)
        if k == 5:  # the largest there are
            symbols[0, :4] = 32_767, -32_767, -32_767, 32_767
        payload, after = prior.encode(symbols, context, rate)
        packets.append(
            {
                "rate": rate,
                "context": context.tolist(),
                "payload": payload.hex(),
                "symbols": symbols.tolist(),
                "context_after": after.tolist(),
            }
        )
        context = after
    model = {name: array.tolist() for name, array in tensors.items()} | metadata
    text = json.dumps({"model": model, "packets": packets})
    (Path(__file__).parent / "prior_small.json").write_text(text.replace('], "', '],\n"') + "\n")


if __name__ == "__main__":
    main()
