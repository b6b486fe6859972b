"""Training of the phone classifiers: labels by an offline recogniser, then minutes on one core.

    python -m streamcodec_models.phones --data FOLDER --out phones.safetensors --hours 1.5

Recordings of speakers that are not held out are drawn at random and labelled
(:mod:`phone_labels`) until there is enough sound; a tenth as much of held-out speakers tells how
well the classifiers do. ``python -m bench.phone_classifiers`` uses them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from streamcodec.errors import InputError, StreamcodecError

from .data import SAMPLE_RATE, SpeechCorpus, Utterance
from .losses import cosine
from .phone_labels import FRAME_STEP, UNKNOWN, PhoneLabeller
from .phone_nets import BANDS, KINDS, count_errors, features, save_classifiers

SHORTEST, LONGEST = 1.0, 16.0
"""Seconds of a recording to label: shorter ones give the recogniser no context."""

HELD_OUT_SHARE = 0.1
EXCERPT = 200
"""Frames of a training excerpt: 2 s."""


@dataclass
class Labelled:
    """Frames of one recording, shape (frames, BANDS), and their labels, shape (frames,)."""

    frames: Tensor
    labels: Tensor


def labelled(
    corpus: SpeechCorpus,
    labeller: PhoneLabeller,
    hours: float,
    rng: np.random.Generator,
    *,
    held_out: bool,
    sources: Iterable[str] = (),
) -> list[Labelled]:
    """Draw and label recordings until ``hours`` of frames have a label, or there are no more.

    Raises
    ------
    InputError
        If nothing could be labelled.
    """
    wanted = int(hours * 3600 * SAMPLE_RATE / FRAME_STEP)
    allowed = set(sources)
    pool = [u for u in corpus.utterances if u.held_out == held_out and _usable(u, allowed)]
    rng.shuffle(pool)
    found: list[Labelled] = []
    with tqdm(total=wanted, unit="frame", desc="labelling") as progress:
        for utterance in pool:
            if progress.n >= wanted:
                break
            samples = np.array(corpus.sound(utterance))
            labels = labeller.label(samples, utterance.transcript)
            if labels is not None:
                found.append(_example(samples, labels))
                progress.update(int((labels != UNKNOWN).sum()))
    if not found:
        raise InputError(
            f"none of {len(pool)} recordings of {SHORTEST:g} to {LONGEST:g} s could be labelled; "
            "expected English speech"
        )
    return found


def _usable(utterance: Utterance, sources: set[str]) -> bool:
    seconds = utterance.length / SAMPLE_RATE
    return SHORTEST <= seconds <= LONGEST and (not sources or utterance.source in sources)


def _example(samples: NDArray[np.int16], labels: NDArray[np.int8]) -> Labelled:
    frames = features(samples.astype(np.float32) / 32768.0)
    return Labelled(frames, torch.from_numpy(labels.astype(np.int64)))


def excerpts(
    examples: list[Labelled], batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield frames ``(batch, EXCERPT, BANDS)`` and labels ``(batch, EXCERPT)`` for ever.

    A recording is drawn in proportion to its length; what is missing at its end is unlabelled.
    """
    mass = np.cumsum([len(e.labels) for e in examples], dtype=np.float64)
    while True:
        frames = torch.zeros(batch, EXCERPT, BANDS)
        labels = torch.full((batch, EXCERPT), UNKNOWN)
        for row, pick in enumerate(np.searchsorted(mass, rng.random(batch) * mass[-1])):
            example = examples[pick]
            start = int(rng.integers(max(1, len(example.labels) - EXCERPT + 1)))
            length = min(EXCERPT, len(example.labels) - start)
            frames[row, :length] = example.frames[start : start + length]
            labels[row, :length] = example.labels[start : start + length]
        yield frames, labels


def fit(net: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], steps: int, lr: float) -> None:
    """Train with Adam on the cross-entropy of labelled frames."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    net.train()
    for step in tqdm(range(steps), unit="step", desc=type(net).__name__):
        for group in optimizer.param_groups:
            group["lr"] = lr * cosine(step / steps)
        frames, labels = next(batches)
        scores = net(frames).flatten(0, 1)
        loss = F.cross_entropy(scores, labels.flatten(), ignore_index=UNKNOWN)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.eval()


def error_rate(net: nn.Module, examples: list[Labelled]) -> float:
    """Share of spoken frames that are taken for another phone or a pause."""
    counts = [count_errors(net, e.frames, e.labels) for e in examples]
    return sum(c[0] for c in counts) / max(1, sum(c[1] for c in counts))


def train(args: argparse.Namespace) -> None:
    """Label, train both classifiers, write them with their held-out error."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    corpus = SpeechCorpus(args.data, args.cache or args.out.parent / "cache")
    labeller = PhoneLabeller()
    known = labelled(corpus, labeller, args.hours, rng, held_out=False, sources=args.sources)
    rest = labelled(
        corpus, labeller, args.hours * HELD_OUT_SHARE, rng, held_out=True, sources=args.sources
    )
    frames = sum(len(e.labels) for e in known)
    print(f"{len(known)} recordings, {frames * FRAME_STEP / SAMPLE_RATE / 3600:.2f} h", flush=True)
    nets = {name: kind() for name, kind in KINDS.items()}
    notes = {}
    for name, net in nets.items():
        fit(net, excerpts(known, args.batch, rng), args.steps, args.lr)
        notes[f"{name}_held_out_error"] = error_rate(net, rest)
        print(
            f"{name}: frame phone error {100 * notes[f'{name}_held_out_error']:.1f} %", flush=True
        )
    save_classifiers(args.out, nets, notes)


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    p = argparse.ArgumentParser(description="train phone classifiers on recordings of English")
    p.add_argument("--data", action="append", required=True, help="as for the speech model")
    p.add_argument("--out", type=Path, required=True, help="file of weights (.safetensors)")
    p.add_argument("--sources", nargs="+", default=(), help="use these sources of --data only")
    p.add_argument("--hours", type=float, default=1.5, help="labelled sound to train on")
    p.add_argument("--cache", type=Path, help="decoded sound (default: cache beside --out)")
    p.add_argument("--steps", type=int, default=1500)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    return p


def main() -> None:
    """Command line of the classifiers' training."""
    try:
        train(parser().parse_args())
    except (StreamcodecError, OSError, ImportError) as error:
        raise SystemExit(f"phones: {error}") from error


if __name__ == "__main__":
    main()
