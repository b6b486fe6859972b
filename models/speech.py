"""Training of the speech model: one command, three stages, a budget in minutes.

``autoencoder``  E, G and the prior on mel pictures, latents rounded in the loop;
``vocoder``      the vocoder on original mel frames, adversarial from the middle of the run on;
``joint``        everything together on sound: quantized latents, G's own mel into the vocoder.

    python -m streamcodec_models.speech --data FOLDER --run runs/a --stage autoencoder --minutes 30

Each stage starts from whatever the run folder holds, resumes where it was interrupted, writes
``curve-STAGE.tsv`` and ends with losses on held-out speakers. The same command uses a CUDA GPU
if there is one.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from streamcodec.nn.autoencoder import Encoder, Generator
from streamcodec.nn.discriminator import Discriminator
from streamcodec.nn.prior import MaskedPrior
from streamcodec.nn.spectrum import MelSpectrogram, inverse_stft
from streamcodec.nn.vocoder import Vocoder

from . import losses
from .data import SpeechCorpus

HOP = 160
N_FFT = 640


@dataclass
class SpeechConfig:
    """Everything that fixes the shape of a speech model."""

    n_mels: int = 80
    frames_per_latent: int = 4
    latent_dim: int = 64
    channels: int = 512
    hidden: int = 1024
    blocks: int = 4
    vocoder_channels: int = 256
    vocoder_hidden: int = 768
    vocoder_blocks: int = 8
    prior_hidden: int = 384
    prior_context: int = 4
    mel_mean: float = -6.5
    mel_std: float = 2.4
    # Bits a second that each rung aims at while training: the nominal rate less what sealing
    # a packet every 80 ms to whole bytes costs (about 60 bit/s).
    rates: tuple[float, ...] = (1000, 1600, 2000, 3200, 6000)
    rate_scales: tuple[float, ...] = (0.6, 0.85, 1.0, 1.6, 3.2)
    sealing: float = 60.0
    rate_odds: tuple[float, ...] = (0.12, 0.12, 0.5, 0.14, 0.12)


DEFAULT_WEIGHTS = {
    "libri_walleclipse": 4.0, "asp_audio": 2.0, "festvox_ru": 1.0, "picovoice_s2i": 2.0,
    "an4": 1.0, "speechocean762": 0.7, "speechcommands_dsr": 0.3, "picovoice_wwb": 0.5,
    "ovos_ww": 0.3,
}  # fmt: skip
"""Sentences over keywords, clean over noisy."""


class SpeechModel(nn.Module):
    """All networks of the speech codec, with the gains that turn latents into integers."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        c = self.config = config
        shape = dict(n_mels=c.n_mels, frames_per_latent=c.frames_per_latent,
                     latent_dim=c.latent_dim, channels=c.channels, hidden=c.hidden,
                     blocks=c.blocks)  # fmt: skip
        self.mel = MelSpectrogram(
            losses.mel_filterbank(16_000, N_FFT, c.n_mels), N_FFT, HOP, c.mel_mean, c.mel_std
        )
        self.encoder = Encoder(**shape)
        self.generator = Generator(**shape)
        self.vocoder = Vocoder(c.n_mels, N_FFT, c.frames_per_latent, c.vocoder_channels,
                               c.vocoder_hidden, c.vocoder_blocks)  # fmt: skip
        self.prior = MaskedPrior(c.latent_dim, c.prior_context, c.prior_hidden, c.rate_scales)
        self.log_gain = nn.Parameter(
            torch.log(torch.tensor(c.rate_scales))[:, None].repeat(1, c.latent_dim)
        )

    def quantize(self, latents: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Round latents on the lattice of their rung.

        Returns the dequantized latents (straight-through gradient), the symbols, and bits of
        each latent step ``(batch, steps)`` with additive-noise gradient.
        """
        gain = torch.exp(self.log_gain[rate])[:, None]
        scaled = latents * gain
        symbols = torch.round(scaled).detach()
        noisy = scaled + torch.rand_like(scaled) - 0.5
        past = scaled.new_zeros(scaled.shape[0], self.config.prior_context, scaled.shape[2])
        # Half of the draws train the prior on the integers it will meet, half give E a gradient.
        hard = (torch.rand(scaled.shape[0], 1, 1, device=scaled.device) < 0.5).float()
        values = hard * (symbols + (scaled - scaled.detach())) + (1 - hard) * noisy
        bits = self.prior.bits(values, symbols, past, rate).sum(-1)
        dequantized = (symbols + (scaled - scaled.detach())) / gain
        return dequantized, symbols, bits


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
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=args.lr, betas=(0.8, 0.99), weight_decay=1e-3
        )
        self.average = {
            f"{k}.{n}": t.detach().clone()
            for k, m in trained.items()
            for n, t in m.state_dict().items()
            if t.is_floating_point()
        }
        self.step, self.seconds = 0, 0.0
        self.path = args.run / f"stage-{name}.pt"
        self.extra: dict[str, object] = {}

    def resume(self) -> None:
        """Continue an interrupted run of this stage, if there is one."""
        if self.path.exists():
            saved = torch.load(self.path, weights_only=False)
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

    def averaged(self) -> dict[str, Tensor]:
        """Averaged weights of all trained modules, by ``module.name``."""
        return dict(self.average)

    def run(self, loss_of: Callable[[float], dict[str, Tensor]], check: Callable[[], dict]) -> None:
        """Optimize ``loss_of(progress)["loss"]`` until the minutes are spent."""
        budget = self.args.minutes * 60
        begun, last_save, last_print = time.monotonic() - self.seconds, time.monotonic(), 0.0
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
        self.save()
        print(f"{self.name}: {self.step} steps; held out: {json.dumps(check())}", flush=True)

    def _average(self) -> None:
        decay = min(self.args.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for k, m in self.trained.items():
                for n, t in m.state_dict().items():
                    if t.is_floating_point():
                        self.average[f"{k}.{n}"].lerp_(t, 1 - decay)


def _append(path: Path, row: dict[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as out:
        writer = csv.writer(out, delimiter="\t")
        if fresh:
            writer.writerow(row)
        writer.writerow([f"{v:.5g}" for v in row.values()])


def load_model(run: Path, config: SpeechConfig) -> SpeechModel:
    """The model of a run folder: averaged weights of whatever stages have run so far."""
    model = SpeechModel(config)
    path = run / "model.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
    return model


def store(run: Path, model: SpeechModel, stage: Stage) -> None:
    """Put a stage's averaged weights into the run's model file, other parts untouched."""
    state = load_model(run, model.config).state_dict()
    for name, value in stage.averaged().items():
        state["log_gain" if name == "gain.0" else name] = value
    part = run / "model.part"
    torch.save(state, part)
    part.replace(run / "model.pt")


def train(args: argparse.Namespace) -> None:
    """Run one stage."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.run.mkdir(parents=True, exist_ok=True)
    config_path = args.run / "config.json"
    config = SpeechConfig()
    if config_path.exists():
        stored = json.loads(config_path.read_text())
        config = SpeechConfig(**{k: tuple(v) if isinstance(v, list) else v
                                 for k, v in stored.items()})  # fmt: skip
    config_path.write_text(json.dumps(asdict(config), indent=1))
    corpus = SpeechCorpus(args.data, args.cache or args.run / "cache")
    model = load_model(args.run, config).to(device)
    print(f"{corpus.hours():.1f} h, device {device}, "
          + ", ".join(f"{n} {sum(p.numel() for p in m.parameters()) / 1e6:.2f} M"
                      for n, m in model.named_children()), flush=True)  # fmt: skip
    rng = np.random.default_rng(args.seed + os.getpid() % 1000 if args.shuffle else args.seed)
    crops = corpus.crops(args.samples, args.batch, rng, DEFAULT_WEIGHTS)
    fixed = corpus.crops(args.samples, 32, np.random.default_rng(1), DEFAULT_WEIGHTS, held_out=True)
    held = torch.from_numpy(next(fixed)).to(device)
    batches = (torch.from_numpy(c).to(device) for c in crops)
    stages = {"autoencoder": autoencoder, "vocoder": vocoder, "joint": joint}
    stages[args.stage](args, model, batches, held, device)


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16)


class _Gain(nn.ParameterList):
    """The gains as a module of their own, so that stages can list them."""


def _draw_rates(config: SpeechConfig, batch: int, device: torch.device) -> Tensor:
    odds = torch.tensor(config.rate_odds)
    return torch.multinomial(odds, batch, replacement=True).to(device)


def _targets(config: SpeechConfig) -> list[float]:
    steps_per_second = 100 / config.frames_per_latent
    return [(r - config.sealing) / steps_per_second for r in config.rates]


def autoencoder(args, model: SpeechModel, batches, held: Tensor, device) -> None:  # noqa: ANN001
    """Stage 1: mel pictures through rounded latents."""
    parts = {
        "encoder": model.encoder,
        "generator": model.generator,
        "prior": model.prior,
        "gain": _Gain([model.log_gain]),
    }
    stage = Stage("autoencoder", args, parts)
    stage.resume()
    control = RateControl(_targets(model.config), stage.extra.get("log_lambda", []))

    def forward(x: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            mel = model.mel(x)
        with _autocast(device):
            z, _ = model.encoder(mel)
            dequantized, _, bits = model.quantize(z.float(), rate)
            out, _ = model.generator(dequantized)
        return out.float(), mel, bits

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(batches)
        rate = _draw_rates(model.config, len(x), device)
        out, mel, bits = forward(x, rate)
        # Start at a high rate and step it down: latents learn to carry before they save.
        slack = max(1.0, 2.5 - 5.0 * progress)
        control.update(rate, bits.detach().mean(1), slack)
        stage.extra["log_lambda"] = control.log_lambda
        distortion = losses.mel_loss(out, mel)
        rated = (control.weights(rate) * bits.mean(1)).mean()
        at = rate == 2
        return {"loss": distortion + rated, "mel": distortion, "bps": bits[at].mean() * 25,
                "lambda": torch.tensor(control.log_lambda[2]).exp()}  # fmt: skip

    def check() -> dict[str, float]:
        result = {}
        stored = load_model(args.run, model.config).to(device)
        model.load_state_dict(stored.state_dict())
        with torch.no_grad():
            for r, nominal in enumerate(model.config.rates):
                rate = torch.full((len(held),), r, device=device)
                out, mel, bits = forward(held, rate)
                result[f"mel@{nominal:.0f}"] = round(float(losses.mel_loss(out, mel)), 4)
                result[f"bps@{nominal:.0f}"] = round(float(bits.mean()) * 25, 1)
        return result

    def finish() -> dict[str, float]:
        store(args.run, model, stage)
        return check()

    stage.run(loss_of, finish)


class Adversary:
    """The discriminators with their optimizer."""

    def __init__(self, args: argparse.Namespace, device: torch.device) -> None:
        self.path = args.run / "discriminator.pt"
        self.net = Discriminator().to(device)
        if self.path.exists():
            self.net.load_state_dict(torch.load(self.path, weights_only=True))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=args.lr, betas=(0.8, 0.99))
        self.device = device
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
        with _autocast(self.device):
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
        with _autocast(self.device):
            judged = self.net(torch.cat([real, fake]), self.picks)
        self.net.requires_grad_(True)
        halves = [_halves(j) for j in judged]
        reals, fakes = [h[0] for h in halves], [h[1] for h in halves]
        return losses.adversarial_loss(fakes), losses.feature_loss(reals, fakes)

    def _excerpt(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The same stretch of both, at a random place."""
        length = min(self.samples, real.shape[1])
        start = int(torch.randint(real.shape[1] - length + 1, ()))
        return real[:, start : start + length], fake[:, start : start + length]

    def save(self) -> None:
        """Keep the discriminators for the next stage."""
        torch.save(self.net.state_dict(), self.path)


def _halves(judgement):  # noqa: ANN001, ANN202
    score, features = judgement
    a, b = score.chunk(2)
    fa, fb = zip(*(f.chunk(2) for f in features), strict=True)
    return (a, list(fa)), (b, list(fb))


def _decode(model: SpeechModel, mel: Tensor, device: torch.device) -> Tensor:
    with _autocast(device):
        spectra, _ = model.vocoder(mel)
    return inverse_stft(spectra, N_FFT, HOP)


def vocoder(args, model: SpeechModel, batches, held: Tensor, device) -> None:  # noqa: ANN001
    """Vocoder on original mel frames."""
    stage = Stage("vocoder", args, {"vocoder": model.vocoder})
    stage.resume()
    spectral = losses.MultiResolutionSpectralLoss(per_step=args.resolutions).to(device)
    adversary = Adversary(args, device)

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(batches)
        with torch.no_grad():
            mel = model.mel(x)
        y = _decode(model, mel, device)
        x = x[:, : y.shape[1]]
        distance = spectral(y, x)
        if progress < args.adversary_from:
            return {"loss": distance, "spectral": distance}
        adversary.draw(args.judges)
        judged = adversary.learn(x, y, losses.cosine(progress), args.lr)
        adv, features = adversary.judge(x, y)
        loss = distance + args.adversarial * adv + args.features * features
        return {"loss": loss, "spectral": distance, "judge": judged, "adv": adv, "feat": features}

    def finish() -> dict[str, float]:
        store(args.run, model, stage)
        adversary.save()
        model.load_state_dict(load_model(args.run, model.config).to(device).state_dict())
        with torch.no_grad():
            y = _decode(model, model.mel(held), device)
            return {"spectral": round(float(spectral(y, held[:, : y.shape[1]], complete=True)), 4)}

    stage.run(loss_of, finish)


def joint(args, model: SpeechModel, batches, held: Tensor, device) -> None:  # noqa: ANN001
    """Everything on sound: quantized latents, G's mel into the vocoder, adversarial."""
    parts = {
        "encoder": model.encoder,
        "generator": model.generator,
        "vocoder": model.vocoder,
        "prior": model.prior,
        "gain": _Gain([model.log_gain]),
    }
    stage = Stage("joint", args, parts)
    previous = args.run / "stage-autoencoder.pt"
    if previous.exists():
        stage.extra = torch.load(previous, weights_only=False)["extra"]
    stage.resume()
    control = RateControl(_targets(model.config), list(stage.extra.get("log_lambda", [])))
    spectral = losses.MultiResolutionSpectralLoss(per_step=args.resolutions).to(device)
    adversary = Adversary(args, device)
    counter = itertools.count()

    def forward(x: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.no_grad():
            mel = model.mel(x)
        with _autocast(device):
            z, _ = model.encoder(mel)
            dequantized, _, bits = model.quantize(z.float(), rate)
            out, _ = model.generator(dequantized)
        out = out.float()
        return _decode(model, out, device), out, mel, bits

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(batches)
        rate = _draw_rates(model.config, len(x), device)
        y, out, mel, bits = forward(x, rate)
        x = x[:, : y.shape[1]]
        control.update(rate, bits.detach().mean(1), 1.0)
        stage.extra["log_lambda"] = control.log_lambda
        picture, distance = losses.mel_loss(out, mel), spectral(y, x)
        rated = (control.weights(rate) * bits.mean(1)).mean()
        values = {"spectral": distance, "mel": picture, "bps": bits[rate == 2].mean() * 25,
                  "lambda": torch.tensor(control.log_lambda[2]).exp()}  # fmt: skip
        loss = distance + args.picture * picture + rated * args.rate_weight
        if progress >= args.adversary_from:
            adversary.draw(args.judges)
            if next(counter) % args.judge_every == 0:
                values["judge"] = adversary.learn(x, y, losses.cosine(progress), args.lr)
            adv, features = adversary.judge(x, y)
            values |= {"adv": adv, "feat": features}
            loss = loss + args.adversarial * adv + args.features * features
        return {"loss": loss, **values}

    def finish() -> dict[str, float]:
        store(args.run, model, stage)
        adversary.save()
        model.load_state_dict(load_model(args.run, model.config).to(device).state_dict())
        result = {}
        with torch.no_grad():
            for r, nominal in enumerate(model.config.rates):
                rate = torch.full((len(held),), r, device=device)
                y, out, mel, bits = forward(held, rate)
                distance = spectral(y, held[:, : y.shape[1]], complete=True)
                result[f"spectral@{nominal:.0f}"] = round(float(distance), 4)
                result[f"mel@{nominal:.0f}"] = round(float(losses.mel_loss(out, mel)), 4)
                result[f"bps@{nominal:.0f}"] = round(float(bits.mean()) * 25, 1)
        return result

    stage.run(loss_of, finish)


def parser() -> argparse.ArgumentParser:
    """Options of the training command."""
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--data", type=Path, required=True, help="packed corpus or folder of recordings")
    p.add_argument("--run", type=Path, required=True, help="folder of this run")
    p.add_argument("--stage", choices=["autoencoder", "vocoder", "joint"], required=True)
    p.add_argument("--minutes", type=float, default=30.0)
    p.add_argument("--cache", type=Path, help="decoded sound (default: RUN/cache)")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--samples", type=int, default=16_640, help="crop length, a multiple of 640")
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--clip", type=float, default=5.0, help="largest gradient norm")
    p.add_argument("--decay", type=float, default=0.999, help="of the weight average")
    p.add_argument("--adversary-from", type=float, default=0.5, help="part of the run before it")
    p.add_argument("--adversarial", type=float, default=0.05)
    p.add_argument("--features", type=float, default=0.5)
    p.add_argument("--judges", type=float, default=0.4, help="share of discriminators a step")
    p.add_argument("--judge-samples", type=int, default=8192, help="length that they judge")
    p.add_argument("--resolutions", type=int, default=2, help="resolutions a step of the loss")
    p.add_argument("--judge-every", type=int, default=1, help="steps per discriminator step")
    p.add_argument("--picture", type=float, default=1.0, help="weight of the mel loss in joint")
    p.add_argument("--rate-weight", type=float, default=2.0, help="of the rate term in joint")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--shuffle", action="store_true", help="another data order on each resumption")
    p.add_argument("--print-seconds", type=float, default=30.0)
    p.add_argument("--save-seconds", type=float, default=240.0)
    return p


if __name__ == "__main__":
    train(parser().parse_args())
