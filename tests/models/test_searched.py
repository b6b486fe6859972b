"""Fine-tuning on what the codec sends: the symbols are those of its packets."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from streamcodec_models import speech
from streamcodec_models.adopt import adopt
from streamcodec_models.searched import Stretch, crops, sent
from streamcodec_models.speech_model import load_config

from streamcodec import SpeechDecoder, SpeechEncoder
from streamcodec.speech.model import DEFAULT_MODEL, model_folder
from tests.signals import real_speech

SAMPLE_RATE = 16_000


def test_symbols_and_frames_are_those_that_a_decoder_reads() -> None:
    encoder = SpeechEncoder(complexity=1)
    sound = real_speech(1.6)
    stretch = sent(encoder, sound)
    assert stretch.symbols.shape == (40, encoder.model.latent_dim)
    assert stretch.mel.shape == (160, 80)
    encoder.reset()
    packets = encoder.push(sound)
    assert stretch.rate.tolist() == [p.rate for p in packets for _ in range(2)]
    decoder = SpeechDecoder(encoder.header)
    context = encoder.model.prior.initial_context()
    for n, packet in enumerate(packets):
        if packet.refresh:
            context = encoder.model.prior.initial_context()
        symbols, context = decoder.model.prior.decode(packet.payload, 2, context, packet.rate)
        np.testing.assert_array_equal(stretch.symbols[2 * n : 2 * n + 2], symbols)


def test_crops_keep_to_one_rung_and_go_together() -> None:
    steps, dim = 30, 3
    count = np.arange(steps, dtype=np.int16)
    stretch = Stretch(
        mel=np.repeat(count, 4)[:, None].astype(np.float16),
        symbols=np.repeat(count[:, None], dim, 1),
        rate=np.where(count < 12, 1, 2).astype(np.int16),
    )
    found = crops([stretch], 8, 16, np.random.default_rng(0))
    seen = set()
    for _ in range(20):
        mel, symbols, rate = next(found)
        assert mel.shape == (16, 32, 1)
        assert torch.equal(mel[:, ::4, 0], symbols[:, :, 0])
        for crop, rung in zip(symbols[:, :, 0].tolist(), rate.tolist(), strict=True):
            assert (max(crop) < 12) == (rung == 1)
            assert (min(crop) >= 12) == (rung == 2)
            seen.add(crop[0])
    assert {0.0, 12.0, 22.0} <= seen


def test_a_stretch_of_changing_rungs_is_refused() -> None:
    stretch = Stretch(
        np.zeros((16, 1), np.float16), np.zeros((4, 1), np.int16), np.array([0, 1, 0, 1], np.int16)
    )
    with pytest.raises(ValueError, match="changed its rung"):
        next(crops([stretch], 2, 1, np.random.default_rng(0)))


def test_the_stage_trains_on_from_a_finished_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for speaker in ("ann", "bob", "cyd"):
        (tmp_path / "data" / speaker).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / speaker / "a.wav", real_speech(3.0), SAMPLE_RATE)
    run = tmp_path / "run"
    adopt(model_folder(DEFAULT_MODEL), run)
    # One rung is enough, and the crops are short.
    config = replace(load_config(run), rate_odds=(0.0, 0.0, 1.0, 0.0, 0.0))
    (run / "config.json").write_text(json.dumps(asdict(config)))
    before = torch.load(run / "model.pt", weights_only=True)
    monkeypatch.setattr("streamcodec_models.searched.STRETCH_SECONDS", 2.0)
    monkeypatch.setattr(speech, "draw_if_possible", lambda folder: None)
    arguments = [
        "--data", str(tmp_path / "data"), "--run", str(run), "--cache", str(tmp_path / "cache"),
        "--stage", "searched", "--minutes", "0.02", "--search-minutes", "0", "--batch", "2",
        "--samples", "5120", "--losing", "0.5", "--alone", "1",
    ]  # fmt: skip
    speech.train(speech.parser().parse_args(arguments))
    after = torch.load(run / "model.pt", weights_only=True)
    moved = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"encoder", "generator", "prior"}
