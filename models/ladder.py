"""Put rungs between those of an image run's rate ladder.

    python -m streamcodec_models ladder runs/a --between 3 --out runs/b

A picture that is set to a rate is coded on one of the lattices that a model has; where the one that
would suit it lies between two of them it loses up to a third of a decibel. What makes a rung is
little: gains, steps and offsets, a bias of the prior, and the scale that its symbols have. Between
two rungs these are interpolated, gains and scales geometrically; the networks need not be trained
anew for it. The rungs that there were keep their places among the new ones, in the same order.

Source: Cui et al., *Asymmetric gained deep image compression with continuous rate adaptation*, CVPR
2021, section 3.3, for gains; the bias of an autoregressive prior is ours.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from streamcodec.image.items import MAX_RUNGS

from .image_model import LATTICE, ImageModel, load_config, load_model

ROWS = (*LATTICE, "prior.rate_bias")
"""Parameters with a row for each rung; those of the lattice are logarithms where they are to be."""


def with_rungs_between(model: ImageModel, between: int) -> ImageModel:
    """A model with ``between`` more rungs from each rung to the next.

    Raises
    ------
    ValueError
        The number is not positive, there is but one rung, or there would be more than files can
        tell.
    """
    config = model.config
    count = (len(config.lambdas) - 1) * (between + 1) + 1
    if between < 1:
        raise ValueError(f"expected one rung or more between two, not {between}")
    if len(config.lambdas) < 2:
        raise ValueError("there is one rung alone, and nothing between")
    if count > MAX_RUNGS:
        raise ValueError(f"that would be {count} rungs; a file can tell {MAX_RUNGS}")
    odds = _between(torch.tensor(config.rate_odds), between)
    finer = ImageModel(
        replace(
            config,
            lambdas=_geometric(config.lambdas, between),
            rate_scales=_geometric(config.rate_scales, between),
            rate_odds=tuple((odds / odds.sum()).tolist()),
        )
    )
    state = model.state_dict()
    for name in ROWS:
        state[name] = _between(state[name], between)
    state["prior.rate_scales"] = finer.prior.rate_scales
    finer.load_state_dict(state)
    return finer


def _between(rows: Tensor, between: int) -> Tensor:
    """Rows ``(n, ...)`` with others between them, on straight lines."""
    parts = torch.arange(between + 1) / (between + 1)
    parts = parts.reshape(1, -1, *[1] * (rows.dim() - 1)).to(rows)
    lines = torch.lerp(rows[:-1, None], rows[1:, None], parts)
    return torch.cat([lines.flatten(0, 1), rows[-1:]])


def _geometric(values: Sequence[float], between: int) -> tuple[float, ...]:
    logarithms = torch.tensor([math.log(v) for v in values], dtype=torch.float64)
    return tuple(_between(logarithms, between).exp().tolist())


def refine(run: Path, out: Path, between: int) -> int:
    """Write a run with more rungs than ``run``; gives how many it has.

    Raises
    ------
    FileExistsError
        ``out`` holds a model already.
    FileNotFoundError
        ``run`` holds none.
    ValueError
        See :func:`with_rungs_between`.
    """
    if (out / "model.pt").exists():
        raise FileExistsError(f"{out} holds a model already; give a new folder")
    if not (run / "model.pt").exists():
        raise FileNotFoundError(f"{run} holds no finished run (model.pt)")
    finer = with_rungs_between(load_model(run, load_config(run)), between)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(asdict(finer.config), indent=1))
    torch.save(finer.state_dict(), out / "model.pt")
    return len(finer.config.lambdas)


def main() -> None:
    """Command line of the ladder."""
    parser = argparse.ArgumentParser(description="put rungs between those of an image run")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--between", type=int, default=3, help="new rungs between two (default 3)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the new run")
    args = parser.parse_args()
    try:
        rungs = refine(args.run, args.out, args.between)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{args.out}: {rungs} rungs")


if __name__ == "__main__":
    main()
