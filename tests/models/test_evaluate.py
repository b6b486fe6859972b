"""Figures of a run on held-out speakers: which clips, which links, what is said without any."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from streamcodec_models import evaluate
from streamcodec_models.data import SpeechCorpus
from streamcodec_models.speech_model import SpeechModel

from streamcodec.errors import InputError
from tests.models.test_training import TINY

RATE = 16_000


def corpus_of(folder: Path, seconds: dict[str, list[float]]) -> SpeechCorpus:
    """Recordings of so many seconds each, by speaker; samples are alike within a recording."""
    for speaker, lengths in seconds.items():
        for number, length in enumerate(lengths):
            path = folder / speaker / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sound = np.full(int(length * RATE), (number + 1) / 32, np.float32)
            soundfile.write(path, sound, RATE)
    return SpeechCorpus(folder, folder.parent / "cache")


def test_clips_are_sentences_of_held_out_speakers(tmp_path: Path) -> None:
    lengths = [3.0, 1.0, 12.0, 4.0]
    corpus = corpus_of(tmp_path / "c", {"ann": lengths, "bob": lengths})
    clips = evaluate.held_out_clips(corpus, 9)
    assert sorted(len(c) / RATE for c in clips) == [3.0, 4.0]
    assert len(evaluate.held_out_clips(corpus, 1)) == 1


def test_no_sentence_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path / "c", {"ann": [1.0], "bob": [1.0]})
    with pytest.raises(InputError, match=r"2\.5 to 10 seconds.*found none"):
        evaluate.held_out_clips(corpus, 9)
    words = ["evaluate", "--data", str(tmp_path / "c"), "--run", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(evaluate, "load_config", lambda run: TINY)
    with pytest.raises(SystemExit, match=r"evaluate: .*found none"):
        evaluate.main()


def test_every_link_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    seen = []

    def scores(reference: np.ndarray, decoded: np.ndarray) -> tuple[float, float]:
        assert reference.shape == decoded.shape
        seen.append(decoded)
        return float(len(seen)), 1.0

    monkeypatch.setattr(evaluate, "pesq_scores", scores)
    clips = [np.random.default_rng(k).normal(0, 0.1, 8000).astype(np.float32) for k in (0, 1)]
    table = evaluate.evaluate(SpeechModel(TINY).eval(), clips)
    rungs = [f"{r:.0f} bit/s" for r in TINY.rates]
    assert list(table) == ["original mel", "unquantized", *rungs]
    assert [row[0] for row in table.values()] == [1.5 + 2 * k for k in range(len(table))]
    assert table["unquantized"][2] == 0.0
    spent = [table[name][2] for name in rungs]
    assert spent == sorted(spent)
    assert spent[0] > 0.0
    assert not np.allclose(seen[0], seen[2])
