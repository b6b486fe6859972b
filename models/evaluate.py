"""Held-out figures of a run in progress: PESQ of each link of the chain.

    python -m streamcodec_models.evaluate --data FOLDER --run runs/a

Prints, on speakers that training never sees: the vocoder on original mel frames, on G's mel
from unquantized latents, and on G's mel from rounded latents at each rung. Where the figure
drops is where the next hour of training belongs.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamcodec.errors import InputError
from streamcodec.nn.spectrum import inverse_stft

from .data import SAMPLE_RATE, SpeechCorpus
from .speech_model import HOP, N_FFT, SpeechModel, load_config, load_model

MIN_SECONDS, MAX_SECONDS = 2.5, 10.0


def pesq_scores(reference: np.ndarray, decoded: np.ndarray) -> tuple[float, float]:
    """NB-PESQ on the raw P.862 scale, and WB-PESQ."""
    from pesq import pesq

    narrow = pesq(SAMPLE_RATE, reference, decoded, "nb")
    raw = (4.6607 - math.log(4.0 / (narrow - 0.999) - 1.0)) / 1.4945
    return raw, pesq(SAMPLE_RATE, reference, decoded, "wb")


def held_out_clips(corpus: SpeechCorpus, count: int) -> list[np.ndarray]:
    """Sentences of held-out speakers, spread over the sources.

    Raises
    ------
    InputError
        There are none.
    """
    by_speaker: dict[str, list[np.ndarray]] = {}
    for u in corpus.utterances:
        if u.held_out and MIN_SECONDS * SAMPLE_RATE <= u.length <= MAX_SECONDS * SAMPLE_RATE:
            x = corpus.shards[u.shard][u.start : u.start + u.length].astype(np.float32) / 32768
            by_speaker.setdefault(f"{u.source}/{u.speaker}", []).append(x)
    clips: list[np.ndarray] = []
    turn = 0
    while len(clips) < count and any(len(v) > turn for v in by_speaker.values()):
        clips += [v[turn] for v in by_speaker.values() if len(v) > turn]
        turn += 1
    if not clips:
        raise InputError(
            f"expected an utterance of {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds by a speaker "
            "that training leaves out (one in forty, by name), found none; give more recordings"
        )
    return clips[:count]


@torch.no_grad()
def chain(model: SpeechModel, x: Tensor, rung: int | None, *, original: bool = False) -> tuple:
    """Sound after one variant of the chain, and bits a second."""
    mel = model.mel(x)
    bits = torch.zeros(1)
    if not original:
        z, _ = model.encoder(mel)
        if rung is not None:
            gain = torch.exp(model.log_gain[rung])
            symbols = torch.round(z * gain)
            past = z.new_zeros(1, model.config.prior_context, z.shape[2])
            bits = model.prior.bits(symbols, symbols, past, torch.tensor([rung])).sum(-1)
            z = symbols / gain
        mel, _ = model.generator(z)
    spectra, _ = model.vocoder(mel)
    return inverse_stft(spectra, N_FFT, HOP)[0], float(bits.mean()) * 25


def evaluate(model: SpeechModel, clips: list[np.ndarray]) -> dict[str, tuple[float, float, float]]:
    """Mean raw NB-PESQ, WB-PESQ and bits a second of each variant."""
    rungs = {f"{r:.0f} bit/s": i for i, r in enumerate(model.config.rates)}
    variants: dict[str, dict] = {
        "original mel": {"rung": None, "original": True},
        "unquantized": {"rung": None},
        **{name: {"rung": i} for name, i in rungs.items()},
    }
    table = {}
    for name, options in variants.items():
        rows = []
        for clip in clips:
            x = torch.from_numpy(np.pad(clip, (0, 640 + (-len(clip)) % 640)))[None]
            y, rate = chain(model, x, **options)
            sound = y.numpy()[: len(clip)]
            rows.append((*pesq_scores(clip[: len(sound)], sound), rate))
        table[name] = tuple(np.mean(rows, axis=0))
    return table


def main() -> None:
    """Print the table of a run."""
    parser = argparse.ArgumentParser(description="held-out PESQ of every link of a run")
    parser.add_argument("--data", action="append", required=True, help="as for training")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--stage", help="read the running averages of this stage's checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(args.run, load_config(args.run))
    if args.stage:
        checkpoint = args.run / f"stage-{args.stage}.pt"
        saved = torch.load(checkpoint, map_location="cpu", weights_only=False)["average"]
        state = model.state_dict()
        state |= {("log_gain" if k == "gain.0" else k): v for k, v in saved.items()}
        model.load_state_dict(state)
    try:
        corpus = SpeechCorpus(args.data, args.cache or args.run / "cache")
        clips = held_out_clips(corpus, args.clips)
    except (InputError, OSError) as error:
        raise SystemExit(f"evaluate: {error}") from error
    for name, (raw, wide, rate) in evaluate(model.eval(), clips).items():
        print(f"{name:14s} raw {raw:.3f}  WB {wide:.3f}  {rate:7.1f} bit/s")


if __name__ == "__main__":
    main()
