"""Average the weights of runs of one descent into a new run.

    python -m streamcodec_models average runs/a:2 runs/b:3 --out runs/c

A run that goes on from another, or two from a common one, end beside what lies between them: their
mean has less of what either learned of its last batches by chance. Each of the
runs whose mean is `image-7` cost more on held-out pictures than the mean does (LOG).

Source: Izmailov et al., *Averaging weights leads to wider optima and better generalization*, UAI
2018; for separate runs, Wortsman et al., *Model soups*, ICML 2022.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

SCHEDULES = ("rate_odds",)
"""What of a configuration says how a run was trained, not what its networks are."""


def average(runs: Sequence[tuple[Path, float]], out: Path) -> None:
    """Write the weighted mean of runs' models; the configuration is that of the last.

    Raises
    ------
    FileExistsError
        ``out`` holds a model already.
    FileNotFoundError
        One of the runs holds none.
    ValueError
        There are no two runs, their networks differ, or a weight is not above zero.
    """
    if (out / "model.pt").exists():
        raise FileExistsError(f"{out} holds a model already; give a new folder")
    if len(runs) < 2:
        raise ValueError("give two runs or more")
    if not all(weight > 0 for _, weight in runs):
        raise ValueError("weights must be above zero")
    whole = sum(weight for _, weight in runs)
    mean: dict[str, Tensor] = {}
    networks, config = None, {}
    for run, weight in runs:
        if not (run / "model.pt").exists():
            raise FileNotFoundError(f"{run} holds no finished run (model.pt)")
        config = json.loads((run / "config.json").read_text())
        described = {k: v for k, v in config.items() if k not in SCHEDULES}
        if networks is not None and described != networks:
            raise ValueError(f"{run} is of other networks than {runs[0][0]}")
        networks = described
        for name, value in torch.load(run / "model.pt", map_location="cpu").items():
            if not value.is_floating_point():
                mean[name] = value
            else:
                mean[name] = mean.get(name, torch.zeros_like(value)) + value * (weight / whole)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(mean, out / "model.pt")
    (out / "config.json").write_text(json.dumps(config, indent=1))


def _weighted(text: str) -> tuple[Path, float]:
    """A run and its weight, ``RUN`` or ``RUN:WEIGHT``."""
    run, colon, weight = text.rpartition(":")
    if not colon:
        return Path(text), 1.0
    try:
        return Path(run), float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected RUN:WEIGHT, found {text!r}") from None


def main() -> None:
    """Command line of the average."""
    parser = argparse.ArgumentParser(description="average the weights of runs")
    parser.add_argument(
        "runs", nargs="+", type=_weighted, metavar="RUN[:WEIGHT]", help="of one descent"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the new run")
    args = parser.parse_args()
    try:
        average(args.runs, args.out)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{args.out}: the mean of {len(args.runs)} runs")


if __name__ == "__main__":
    main()
