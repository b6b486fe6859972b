"""What every training stage does: budget, optimizer, weight averages, checkpoints, curves."""

from __future__ import annotations

import argparse
import copy
import csv
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import losses
from .muon import Muon, matrices
from .speech_model import SpeechModel, load_model

NETWORKS = ("encoder", "generator", "prior")
"""Those that Muon trains."""


@dataclass
class RateControl:
    """Multipliers of the rate term, one a rung, steered so that each rung meets its target."""

    targets: list[float]
    log_lambda: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.log_lambda:
            self.log_lambda = [float(np.log(0.15 * 76 / t)) for t in self.targets]

    def weights(self, rate: Tensor) -> Tensor:
        """Weight of a relative excess of bits, ``(batch,)``."""
        lam = torch.tensor(self.log_lambda).exp() / torch.tensor(self.targets)
        return lam.to(rate.device)[rate]

    def update(self, rate: Tensor, bits: Tensor, slack: float) -> None:
        """Move each multiplier up where its rung spent more than ``slack`` times its target."""
        for r in range(len(self.targets)):
            spent = bits[rate == r]
            if len(spent):
                error = float(spent.mean()) / (self.targets[r] * slack) - 1.0
                self.log_lambda[r] += 0.004 * max(-1.0, min(1.0, error)) * min(len(spent), 4)


class Stage:
    """What is common to the stages: time budget, optimizer, averages, checkpoints, curve."""

    def __init__(self, name: str, args: argparse.Namespace, trained: dict[str, nn.Module]) -> None:
        self.name, self.args = name, args
        self.trained = trained
        self.parameters = [p for m in trained.values() for p in m.parameters()]
        self.optimizer = _optimizer(args, trained, self.parameters)
        self.average = {
            f"{k}.{n}": t.detach().clone()
            for k, m in trained.items()
            for n, t in m.state_dict().items()
            if t.is_floating_point()
        }
        self.step, self.seconds = 0, 0.0
        self.path = args.run / f"stage-{name}.pt"
        self.extra: dict[str, Any] = {}
        self.on_save: Callable[[], None] = lambda: None

    def resume(self) -> None:
        """Continue an interrupted run of this stage, if there is one."""
        if self.path.exists():
            # A run may go on where it did not begin: CPU after GPU, or the other way round.
            device = self.parameters[0].device
            saved = torch.load(self.path, map_location=device, weights_only=False)
            for k, m in self.trained.items():
                m.load_state_dict(saved["modules"][k])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average = saved["average"]
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.extra = saved["extra"]
            print(f"{self.name}: resumed at step {self.step}, minute {self.seconds / 60:.1f}")

    def save(self) -> None:
        """Write the checkpoint; a half-written one never replaces a good one."""
        part = self.path.with_suffix(".part")
        torch.save(
            {
                "modules": {k: m.state_dict() for k, m in self.trained.items()},
                "optimizer": self.optimizer.state_dict(),
                "average": self.average,
                "step": self.step,
                "seconds": self.seconds,
                "extra": self.extra,
            },
            part,
        )
        part.replace(self.path)
        self.on_save()

    def averaged(self) -> dict[str, Tensor]:
        """Averaged weights of all trained modules, by ``module.name``."""
        return dict(self.average)

    def run(
        self,
        loss_of: Callable[[float], dict[str, Tensor]],
        keep: Callable[[], None],
        figures: Callable[[], dict[str, float]],
    ) -> None:
        """Optimize ``loss_of(progress)["loss"]`` until the minutes are spent.

        ``figures`` tells how the networks as they are do on what is held out: every
        ``check_minutes`` of the averaged weights, and once more when ``keep`` has put those into
        the model at the end. They go into ``held-out-STAGE.tsv``.
        """
        budget = self.args.minutes * 60
        begun, last_save, last_print = time.monotonic() - self.seconds, time.monotonic(), 0.0
        last_check = time.monotonic()
        seen: dict[str, list[float]] = {}
        curve = self.args.run / f"curve-{self.name}.tsv"
        while (elapsed := time.monotonic() - begun) < budget:
            self.seconds = elapsed
            progress = elapsed / budget
            for group in self.optimizer.param_groups:
                group["lr"] = self.args.lr * losses.cosine(progress)
            values = loss_of(progress)
            self.optimizer.zero_grad(set_to_none=True)
            values["loss"].backward()
            norm = nn.utils.clip_grad_norm_(self.parameters, self.args.clip)
            if torch.isfinite(norm):
                self.optimizer.step()
            else:
                print(f"step {self.step}: gradient is not finite, step skipped", flush=True)
            self.step += 1
            self._average()
            for k, v in values.items():
                seen.setdefault(k, []).append(float(v.detach()))
            seen.setdefault("norm", []).append(float(norm))
            now = time.monotonic()
            if now - last_print > self.args.print_seconds:
                last_print = now
                row = {k: float(np.mean(v)) for k, v in seen.items()}
                seen = {}
                _append(curve, {"step": self.step, "minute": elapsed / 60, **row})
                text = "  ".join(f"{k} {v:.4g}" for k, v in row.items())
                print(f"{self.name} {elapsed / 60:6.1f} min  step {self.step}  {text}", flush=True)
            if now - last_save > self.args.save_seconds:
                last_save = now
                self.save()
            if now - last_check > self.args.check_minutes * 60:
                with self._averages_in_place():
                    self._check(figures)
                last_check = time.monotonic()
        self.save()
        keep()
        self._check(figures)

    def _check(self, figures: Callable[[], dict[str, float]]) -> None:
        """Measure what is held out; training goes on with the random numbers that it had."""
        with torch.random.fork_rng():
            torch.manual_seed(self.args.seed)
            found = figures()
        row = {"step": self.step, "minute": self.seconds / 60, **found}
        _append(self.args.run / f"held-out-{self.name}.tsv", row)
        print(f"{self.name}: {self.step} steps; held out: {_rounded(found)}", flush=True)

    @contextmanager
    def _averages_in_place(self) -> Iterator[None]:
        """The networks with their averaged weights, for a while."""
        held = {k: copy.deepcopy(m.state_dict()) for k, m in self.trained.items()}
        for k, m in self.trained.items():
            own = {n: self.average.get(f"{k}.{n}", t) for n, t in m.state_dict().items()}
            m.load_state_dict(own)
        try:
            yield
        finally:
            for k, m in self.trained.items():
                m.load_state_dict(held[k])

    def _average(self) -> None:
        decay = min(self.args.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for k, m in self.trained.items():
                for n, t in m.state_dict().items():
                    if t.is_floating_point():
                        self.average[f"{k}.{n}"].lerp_(t, 1 - decay)


def _optimizer(
    args: argparse.Namespace, trained: dict[str, nn.Module], parameters: list[nn.Parameter]
) -> torch.optim.Optimizer:
    if args.optimizer == "muon":
        networks = {k: m for k, m in trained.items() if k.split(".")[0] in NETWORKS}
        return Muon(parameters, matrices(networks), args.lr)
    return torch.optim.AdamW(parameters, lr=args.lr, betas=(0.8, 0.99), weight_decay=1e-3)


def _rounded(figures: dict[str, float]) -> str:
    return json.dumps({k: float(f"{v:.4g}") for k, v in figures.items()})


def _append(path: Path, row: dict[str, float]) -> None:
    written = path.read_text().splitlines() if path.exists() else []
    headings = [line for line in written if line.startswith("step\t")]
    with path.open("a", newline="") as out:
        writer = csv.writer(out, delimiter="\t", lineterminator="\n")
        if headings[-1:] != ["\t".join(row)]:  # columns change when the adversary begins
            writer.writerow(row)
        writer.writerow([f"{v:.5g}" for v in row.values()])


def store(run: Path, model: SpeechModel, stage: Stage) -> None:
    """Put a stage's averaged weights into the run's model file, other parts untouched."""
    state = load_model(run, model.config).state_dict()
    for name, value in stage.averaged().items():
        state["log_gain" if name == "gain.0" else name] = value.cpu()
    part = run / "model.part"
    torch.save(state, part)
    part.replace(run / "model.pt")
