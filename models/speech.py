"""Training of the speech model: one command, four stages, a budget in minutes.

``autoencoder``  E, G and the prior on mel pictures, latents rounded in the loop;
``vocoder``      the vocoder on original mel frames, or on G's (``--decoded``), with the decoder's
                 refinement behind it (``--refine``), adversarial from the middle of the run on;
``joint``        everything together on sound: quantized latents, G's own mel into the vocoder;
``searched``     G and the prior on what the codec's own search sends for training speech.

    python -m streamcodec_models.speech --data FOLDER --run runs/a --stage autoencoder --minutes 30

Each stage starts from whatever the run folder holds, resumes where it was interrupted, writes
``curve-STAGE.tsv`` and, every ten minutes and at the end, losses on held-out speakers into
``held-out-STAGE.tsv``. The same command uses a CUDA GPU
if there is one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamcodec.errors import StreamcodecError

from . import losses
from .adversary import Adversary
from .data import SpeechCorpus
from .plot import draw_if_possible
from .searched import searched
from .speech_model import load_config, load_model
from .speech_task import DEFAULT_WEIGHTS, Task, codec_parts
from .stage import RateControl, Stage

STAGES = ("autoencoder", "vocoder", "joint", "searched")


def train(args: argparse.Namespace) -> None:
    """Run one stage."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.run.mkdir(parents=True, exist_ok=True)
    config = load_config(args.run)
    (args.run / "config.json").write_text(json.dumps(asdict(config), indent=1))
    corpus = SpeechCorpus(args.data, args.cache or args.run / "cache")
    model = load_model(args.run, config).to(device)
    sizes = ", ".join(
        f"{n} {sum(p.numel() for p in m.parameters()) / 1e6:.2f} M"
        for n, m in model.named_children()
    )
    print(f"{corpus.hours():.1f} h, device {device}, {sizes}", flush=True)
    rng = np.random.default_rng(args.seed + os.getpid() % 1000 if args.shuffle else args.seed)
    crops = corpus.crops(args.samples, args.batch, rng, DEFAULT_WEIGHTS)
    fixed = corpus.crops(args.samples, 32, np.random.default_rng(1), DEFAULT_WEIGHTS, held_out=True)
    held = torch.from_numpy(next(fixed)).to(device)
    batches = (torch.from_numpy(c).to(device) for c in crops)
    stages = {
        "autoencoder": autoencoder, "vocoder": vocoder, "joint": joint, "searched": searched
    }  # fmt: skip
    stages[args.stage](Task(args, model, corpus, batches, held, device))
    picture = draw_if_possible(args.run)
    print(f"curves: {picture or 'not drawn (none yet, or no matplotlib)'}", flush=True)


def autoencoder(task: Task) -> None:
    """Mel pictures through rounded latents."""
    args = task.args
    stage = Stage("autoencoder", args, codec_parts(task.model))
    stage.extra = task.inherited()
    stage.resume()
    control = RateControl(task.config.targets, list(stage.extra.get("log_lambda", [])))

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(task.batches)
        rate = task.draw_rates(len(x))
        alone = round(args.alone * len(x))
        out, mel, bits = task.autoencode(x, rate, alone=alone, losing=args.losing)
        # Start at a high rate and step it down: latents learn to carry before they save.
        slack = max(1.0, args.slack - 5.0 * progress)
        control.update(rate[alone:], bits[alone:].detach().mean(1), slack)
        stage.extra["log_lambda"] = control.log_lambda
        picture = task.picture_loss(out, mel)
        rated = (control.weights(rate) * bits.mean(1)).mean()
        return {
            "loss": picture + rated,
            "mel": losses.mel_loss(out, mel),
            "picture": picture,
            "bps": bits[alone:][rate[alone:] == 2].mean() * task.config.steps_per_second,
            "lambda": torch.tensor(control.log_lambda[2]).exp(),
        }

    stage.run(loss_of, lambda: task.keep(stage), task.figures)


def vocoder(task: Task) -> None:
    """Vocoder on original mel frames."""
    args = task.args
    stage = Stage("vocoder", args, {"vocoder": task.model.vocoder})
    stage.resume()
    spectral = losses.MultiResolutionSpectralLoss(per_step=args.resolutions).to(task.device)
    adversary = Adversary(args, task.device)
    stage.on_save = adversary.save

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(task.batches)
        with torch.no_grad():
            mel = task.model.mel(x)
            if args.decoded:
                mel = task.autoencode(x, task.draw_rates(len(x)))[0]
        y = task.synthesize(mel)
        x = x[:, : y.shape[1]]
        values = {"spectral": spectral(y, x)}
        loss = values["spectral"]
        if progress >= args.adversary_from:
            loss = loss + adversary.step(x, y, progress, values, learn=True)
        return {"loss": loss, **values}

    def figures() -> dict[str, float]:
        with torch.no_grad():
            y = task.vocode(task.model.mel(task.held))
            return {"spectral": float(spectral(y, task.held[:, : y.shape[1]], complete=True))}

    stage.run(loss_of, lambda: task.keep(stage), figures)


def joint(task: Task) -> None:
    """Everything on sound: quantized latents, G's own mel into the vocoder, adversarial."""
    args = task.args
    parts = {**codec_parts(task.model), "vocoder": task.model.vocoder}
    stage = Stage("joint", args, parts)
    stage.extra = task.inherited()
    stage.resume()
    control = RateControl(task.config.targets, list(stage.extra.get("log_lambda", [])))
    spectral = losses.MultiResolutionSpectralLoss(per_step=args.resolutions).to(task.device)
    adversary = Adversary(args, task.device)
    stage.on_save = adversary.save
    counter = itertools.count()

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(task.batches)
        rate = task.draw_rates(len(x))
        out, mel, bits = task.autoencode(x, rate)
        y = task.vocode(out)
        x = x[:, : y.shape[1]]
        control.update(rate, bits.detach().mean(1), 1.0)
        stage.extra["log_lambda"] = control.log_lambda
        rated = (control.weights(rate) * bits.mean(1)).mean()
        values = {
            "spectral": spectral(y, x),
            "mel": losses.mel_loss(out, mel),
            "bps": bits[rate == 2].mean() * task.config.steps_per_second,
            "lambda": torch.tensor(control.log_lambda[2]).exp(),
        }
        loss = values["spectral"] + args.picture * values["mel"] + rated * args.rate_weight
        if progress >= args.adversary_from:
            learn = next(counter) % args.judge_every == 0
            loss = loss + adversary.step(x, y, progress, values, learn=learn)
        return {"loss": loss, **values}

    def figures() -> dict[str, float]:
        result = {}
        with torch.no_grad():
            for r, nominal in enumerate(task.config.rates):
                rate = torch.full((len(task.held),), r, device=task.device)
                out, mel, bits = task.autoencode(task.held, rate)
                y = task.vocode(out)
                distance = spectral(y, task.held[:, : y.shape[1]], complete=True)
                result[f"spectral@{nominal:.0f}"] = float(distance)
                result[f"mel@{nominal:.0f}"] = float(losses.mel_loss(out, mel))
                result[f"bps@{nominal:.0f}"] = float(bits.mean()) * task.config.steps_per_second
        return result

    stage.run(loss_of, lambda: task.keep(stage), figures)


def parser() -> argparse.ArgumentParser:
    """Options of the training command."""
    p = argparse.ArgumentParser(description="train one stage of the speech model")
    p.add_argument(
        "--data",
        action="append",
        required=True,
        help="packed corpus, folder of recordings, or public corpus: librispeech:ROOT[:SUBSET], "
        "vctk:ROOT, cmuarctic:ROOT[:VOICE], ljspeech:ROOT; repeatable",
    )
    p.add_argument("--run", type=Path, required=True, help="folder of this run")
    p.add_argument("--stage", choices=STAGES, required=True)
    p.add_argument("--minutes", type=float, default=30.0)
    p.add_argument("--cache", type=Path, help="decoded sound (default: RUN/cache)")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--samples", type=int, default=16_640, help="crop length, a multiple of 640")
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--optimizer", choices=["adamw", "muon"], default="adamw")
    p.add_argument("--clip", type=float, default=5.0, help="largest gradient norm")
    p.add_argument("--decay", type=float, default=0.999, help="of the weight average")
    p.add_argument("--adversary-from", type=float, default=0.5, help="part of the run before it")
    p.add_argument("--adversarial", type=float, default=0.05)
    p.add_argument("--features", type=float, default=0.5)
    p.add_argument("--judges", type=float, default=0.4, help="share of discriminators a step")
    p.add_argument("--judge-samples", type=int, default=8192, help="length that they judge")
    p.add_argument("--resolutions", type=int, default=2, help="resolutions a step of the loss")
    p.add_argument("--judge-every", type=int, default=1, help="steps per discriminator step")
    p.add_argument("--refine", type=int, default=0, help="most alternations behind the vocoder")
    p.add_argument("--decoded", action="store_true", help="train the vocoder on G's mel frames")
    p.add_argument(
        "--amplitude", type=float, default=0.0, help="share of the amplitude loss in autoencoder"
    )
    p.add_argument(
        "--alone", type=float, default=0.0, help="share of crops rated as packets by themselves"
    )
    p.add_argument("--losing", type=float, default=0.0, help="share of crops that lose packets")
    p.add_argument(
        "--search-minutes", type=float, default=10.0, help="encoding before the stage searched"
    )
    p.add_argument("--picture", type=float, default=1.0, help="weight of the mel loss in joint")
    p.add_argument("--rate-weight", type=float, default=2.0, help="of the rate term in joint")
    p.add_argument("--slack", type=float, default=2.5, help="rate to begin with, times the target")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--shuffle", action="store_true", help="another data order on each resumption")
    p.add_argument("--print-seconds", type=float, default=30.0)
    p.add_argument("--save-seconds", type=float, default=240.0)
    p.add_argument("--check-minutes", type=float, default=10.0, help="between held-out figures")
    return p


def main() -> None:
    """Command line of the training."""
    try:
        train(parser().parse_args())
    except (StreamcodecError, OSError) as error:
        raise SystemExit(f"speech: {error}") from error


if __name__ == "__main__":
    main()
