"""Fine-tuning on latents that the codec's own search has found (training step 2 of BPGAN).

E's guesses, rounded, are what G and the prior have learned from; what a decoder gets are lattice
points where the search has weighed distance against bits. This stage has the finished codec encode
training speech, packet by packet as it does in use, and trains G and the prior on the symbols that
it sent, beside crops of the usual kind that keep E in step with them. Gains stay as they are: they
are the lattice on which the symbols lie.

    python -m streamcodec_models speech --data FOLDER --run RUN --stage searched --minutes 30
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamcodec.core.packet import Packet
from streamcodec.speech.encoder import SpeechEncoder
from streamcodec.speech.frontend import MelFrontEnd

from . import losses
from .export import export
from .speech_task import DEFAULT_WEIGHTS, Task
from .stage import RateControl, Stage

PACKET_SAMPLES = 1280
"""Samples of a packet of the default profile."""

STRETCH_SECONDS = 20.0
"""Speech that is encoded as one stream."""


@dataclass(frozen=True)
class Stretch:
    """What the encoder sent for a stretch of speech.

    Attributes
    ----------
    mel : ndarray of float16, shape (steps * frames_per_latent, bands)
        Normalized log-mel frames of the recording.
    symbols : ndarray of int16, shape (steps, latent_dim)
    rate : ndarray of int16, shape (steps,)
        Rung of each step.
    """

    mel: NDArray[np.float16]
    symbols: NDArray[np.int16]
    rate: NDArray[np.int16]


def collect(task: Task, minutes: float) -> list[Stretch]:
    """Encode training speech with the run's model for so many minutes of this machine's time."""
    config, found = task.config, list[Stretch]()
    odds = np.array(config.rate_odds) / sum(config.rate_odds)
    rng = np.random.default_rng(task.args.seed)
    packets = round(STRETCH_SECONDS * 16_000 / PACKET_SAMPLES)
    sounds = task.corpus.crops(packets * PACKET_SAMPLES, 1, rng, DEFAULT_WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        export(task.args.run, Path(folder))
        encoders: dict[int, SpeechEncoder] = {}
        end = time.monotonic() + 60.0 * minutes
        # At least one, however little time there is.
        while not found or time.monotonic() < end:
            rung = int(rng.choice(len(odds), p=odds))
            if rung not in encoders:
                encoders[rung] = SpeechEncoder(int(config.rates[rung]), model=folder)
            found.append(sent(encoders[rung], next(sounds)[0]))
    return found


def sent(encoder: SpeechEncoder, sound: NDArray[np.float32]) -> Stretch:
    """What an encoder sends for a sound of whole packets, ``(samples,)``."""
    encoder.reset()
    prior, context = encoder.model.prior, encoder.model.prior.initial_context()
    symbols, rate = [], []
    packets: list[Packet] = encoder.push(sound)
    for packet in packets:
        if packet.refresh:
            context = prior.initial_context()
        steps = encoder.header.steps_per_packet
        found, context = prior.decode(packet.payload, steps, context, packet.rate)
        symbols.append(found.astype(np.int16))
        rate += [packet.rate] * steps
    mel = MelFrontEnd(encoder.model.filterbank).push(sound)
    frames = len(rate) * encoder.model.generator.frames_per_latent
    return Stretch(
        mel[:frames].astype(np.float16), np.concatenate(symbols), np.array(rate, np.int16)
    )


def crops(
    stretches: list[Stretch], steps: int, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield mel, symbols and rungs of random crops of so many steps, each of one rung."""
    places = [
        (i, start)
        for i, s in enumerate(stretches)
        for start in range(len(s.rate) - steps + 1)
        if (s.rate[start : start + steps] == s.rate[start]).all()
    ]
    if not places:
        raise ValueError("the encoder changed its rung too often to cut crops; search for longer")
    while True:
        picks = [places[int(n)] for n in rng.integers(len(places), size=batch)]
        mels, symbols, rates = [], [], []
        for i, start in picks:
            s = stretches[i]
            ratio = len(s.mel) // len(s.rate)
            mels.append(s.mel[ratio * start : ratio * (start + steps)].astype(np.float32))
            symbols.append(s.symbols[start : start + steps].astype(np.float32))
            rates.append(int(s.rate[start]))
        yield (
            torch.from_numpy(np.stack(mels)),
            torch.from_numpy(np.stack(symbols)),
            torch.tensor(rates),
        )


def searched(task: Task) -> None:
    """The stage: half of every batch as the search found it, the other half as E guesses it."""
    args, model = task.args, task.model
    stretches = collect(task, args.search_minutes)
    seconds = sum(len(s.rate) for s in stretches) / task.config.steps_per_second
    print(f"searched: {seconds / 60:.1f} minutes of speech encoded", flush=True)
    steps = int(args.samples / 16_000 * task.config.steps_per_second)
    found = crops(stretches, steps, max(1, args.batch // 2), np.random.default_rng(args.seed))
    parts = {"encoder": model.encoder, "generator": model.generator, "prior": model.prior}
    stage = Stage("searched", args, parts)
    stage.extra = task.inherited()
    stage.resume()
    control = RateControl(task.config.targets, list(stage.extra.get("log_lambda", [])))

    def loss_of(progress: float) -> dict[str, Tensor]:
        x = next(task.batches)[: -(-args.batch // 2)]
        rate = task.draw_rates(len(x))
        alone = round(args.alone * len(x))
        out, mel, bits = task.autoencode(x, rate, alone=alone, losing=args.losing)
        guessed = task.picture_loss(out, mel) + (control.weights(rate) * bits.mean(1)).mean()
        mel, symbols, rate = (t.to(task.device) for t in next(found))
        with task.autocast():
            gain = torch.exp(model.log_gain[rate])[:, None].detach()
            out, _ = model.generator(model.erased(symbols / gain, args.losing))
            bits = model.rated(symbols, symbols, rate)
        distance = task.picture_loss(out.float(), mel)
        rated = (control.weights(rate) * bits.mean(1)).mean()
        return {
            "loss": 0.5 * (guessed + distance + rated),
            "guessed": guessed,
            "found": distance + rated,
            "mel": losses.mel_loss(out.float(), mel),
            "bits": bits.mean(),
        }

    stage.run(loss_of, lambda: task.keep(stage), task.figures)
