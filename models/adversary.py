"""The adversary of a training stage: discriminators, their optimizer, their losses."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from streamcodec.nn.discriminator import Discriminator

from . import losses
from .precision import narrow

Judged = tuple[Tensor, list[Tensor]]
"""Scores and feature maps of one discriminator."""


class Adversary:
    """The discriminators with their optimizer."""

    def __init__(self, args: argparse.Namespace, device: torch.device) -> None:
        self.path = args.run / "discriminator.pt"
        self.net = Discriminator().to(device)
        if self.path.exists():
            state = torch.load(self.path, map_location=device, weights_only=True)
            self.net.load_state_dict(state)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=args.lr, betas=(0.8, 0.99))
        self.device = device
        self.args = args
        self.samples = args.judge_samples
        self.picks: list[int] = []

    def draw(self, share: float) -> None:
        """Pick the discriminators of this step, at least one of each kind.

        On a CPU all of them together cost more than the codec; drawn at random they still all
        have their say.
        """
        self.picks = []
        for kind in self.net.kinds():
            count = max(1, round(share * len(kind)))
            self.picks += [kind[i] for i in torch.randperm(len(kind))[:count].tolist()]

    def learn(self, real: Tensor, fake: Tensor, factor: float, lr: float) -> Tensor:
        """One step of the discriminators."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * factor
        real, fake = self._excerpt(real, fake.detach())
        with narrow(self.device):
            judged = self.net(torch.cat([real, fake]), self.picks)
        halves = [_halves(j) for j in judged]
        loss = losses.discriminator_loss([h[0] for h in halves], [h[1] for h in halves])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Adversarial and feature-matching losses for the generator side."""
        self.net.requires_grad_(False)
        real, fake = self._excerpt(real, fake)
        with narrow(self.device):
            judged = self.net(torch.cat([real, fake]), self.picks)
        self.net.requires_grad_(True)
        halves = [_halves(j) for j in judged]
        reals, fakes = [h[0] for h in halves], [h[1] for h in halves]
        return losses.adversarial_loss(fakes), losses.feature_loss(reals, fakes)

    def step(
        self, real: Tensor, fake: Tensor, progress: float, values: dict[str, Tensor], *, learn: bool
    ) -> Tensor:
        """Teach the drawn discriminators, then return what the generator side owes them.

        ``values`` gets the parts of it for the curve.
        """
        self.draw(self.args.judges)
        if learn:
            values["judge"] = self.learn(real, fake, losses.cosine(progress), self.args.lr)
        values["adv"], values["feat"] = self.judge(real, fake)
        return self.args.adversarial * values["adv"] + self.args.features * values["feat"]

    def _excerpt(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The same stretch of both, at a random place."""
        length = min(self.samples, real.shape[1])
        start = int(torch.randint(real.shape[1] - length + 1, ()))
        return real[:, start : start + length], fake[:, start : start + length]

    def save(self) -> None:
        """Keep the discriminators for the next stage."""
        torch.save(self.net.state_dict(), self.path)


def _halves(judgement: Judged) -> tuple[Judged, Judged]:
    """Split what a discriminator said of (real, fake) into what it said of each."""
    score, features = judgement
    real, fake = score.chunk(2)
    pairs = [f.chunk(2) for f in features]
    return (real, [p[0] for p in pairs]), (fake, [p[1] for p in pairs])
