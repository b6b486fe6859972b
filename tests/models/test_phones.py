"""Phone classifiers: what they are fed, how errors are counted, and the training command."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from streamcodec_models import phones
from streamcodec_models.data import SpeechCorpus
from streamcodec_models.phone_labels import PAUSE, UNKNOWN
from streamcodec_models.phone_nets import (
    BANDS,
    KINDS,
    FrameLstm,
    FrameMlp,
    count_errors,
    features,
    fingerprint,
    load_classifiers,
    save_classifiers,
)
from torch import nn

from streamcodec.errors import InputError, ModelError, ModelNotFoundError

TONES = (400.0, 900.0, 2000.0, 4500.0)
"""The phones 1 to 4 of an invented language."""


def speak(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Tones of 80 to 160 ms one after another, and the phone of each frame."""
    pieces, labels = [], []
    for _ in range(count):
        phone, frames = int(rng.integers(1, 5)), int(rng.integers(8, 17))
        time = np.arange(160 * frames) / 16_000
        pieces.append(0.2 * np.sin(2 * np.pi * TONES[phone - 1] * time))
        labels += [phone] * frames
    sound = np.concatenate(pieces) + 0.002 * rng.standard_normal(160 * len(labels))
    return sound.astype(np.float32), np.array(labels)


def example(seed: int, count: int = 25) -> phones.Labelled:
    sound, labels = speak(np.random.default_rng(seed), count)
    return phones.Labelled(features(sound), torch.from_numpy(labels))


def test_a_frame_for_every_ten_milliseconds() -> None:
    for samples, frames in ((1600, 10), (1759, 10), (1760, 11), (100, 0)):
        assert features(np.ones(samples, np.float32)).shape == (frames, BANDS)


def test_level_makes_no_difference() -> None:
    sound, _ = speak(np.random.default_rng(0), 5)
    torch.testing.assert_close(features(sound), features(0.01 * sound), atol=1e-3, rtol=0)
    assert torch.isfinite(features(np.zeros(3200, np.float32))).all()


def test_frames_see_their_own_window_only() -> None:
    """Frame k begins at sample 160 k and covers 400, as the labels' frames do."""
    sound, _ = speak(np.random.default_rng(0), 5)
    changed = sound.copy()
    changed[160 * 20 : 160 * 20 + 40] = 0.15
    moved = (features(changed) - features(sound)).abs().amax(1)
    assert set(np.flatnonzero(moved.numpy() > 0.3)) <= {18, 19, 20}
    assert moved[18:21].max() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_scores_have_the_shape_of_frames(kind: str) -> None:
    net = KINDS[kind]()
    assert net(torch.zeros(2, 33, BANDS)).shape == (2, 33, 40)
    assert sum(p.numel() for p in net.parameters()) * 4 < 1_000_000


def test_the_perceptron_sees_seven_frames_on_either_side() -> None:
    torch.manual_seed(0)
    net = FrameMlp().eval()
    frames = torch.randn(1, 60, BANDS)
    changed = frames.clone()
    changed[0, 30] += 1.0
    moved = (net(changed) - net(frames)).abs().amax(-1)[0] > 1e-6
    assert np.flatnonzero(moved.numpy()).tolist() == list(range(23, 38))


class Always(nn.Module):
    def __init__(self, phone: int) -> None:
        super().__init__()
        self.phone = phone

    def forward(self, frames):
        return nn.functional.one_hot(torch.full(frames.shape[:2], self.phone), 40).float()


def test_errors_are_counted_where_a_phone_is_spoken() -> None:
    labels = torch.tensor([PAUSE, 5, 5, 7, UNKNOWN])
    frames = torch.zeros(5, BANDS)
    assert count_errors(Always(5), frames, labels) == (1, 3)
    assert count_errors(Always(PAUSE), frames, labels) == (3, 3)
    both = [phones.Labelled(frames, labels), phones.Labelled(frames, torch.full((5,), 5))]
    assert phones.error_rate(Always(5), both) == pytest.approx(1 / 8)


def test_excerpts_are_cut_and_filled() -> None:
    long = phones.Labelled(torch.arange(900.0)[:, None].expand(-1, BANDS), torch.arange(900) % 40)
    short = phones.Labelled(torch.full((100, BANDS), -1.0), torch.full((100,), 39))
    frames, labels = next(phones.excerpts([long, short], 64, np.random.default_rng(0)))
    assert frames.shape == (64, 200, BANDS)
    is_short = frames[:, 0, 0] < 0
    assert 0 < is_short.sum() < 20  # in proportion to their length: one in ten
    assert (labels[is_short, 100:] == UNKNOWN).all()
    assert (labels[is_short, :100] == 39).all()
    assert (labels[~is_short] == frames[~is_short, :, 0].long() % 40).all()


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_the_language(kind: str) -> None:
    torch.manual_seed(0)
    net = KINDS[kind]()
    batches = phones.excerpts([example(i) for i in range(4)], 4, np.random.default_rng(0))
    phones.fit(net, batches, 25, 5e-3)
    assert phones.error_rate(net, [example(9)]) < 0.15


def test_files_come_back(tmp_path: Path) -> None:
    path = tmp_path / "phones.safetensors"
    nets = {"mlp": FrameMlp(), "lstm": FrameLstm()}
    save_classifiers(path, nets, {"mlp_held_out_error": 0.5})
    loaded = load_classifiers(path)
    frames = torch.randn(1, 20, BANDS)
    for name, net in nets.items():
        torch.testing.assert_close(loaded[name](frames), net.eval()(frames))
    first = fingerprint(path)
    nets["mlp"].output.bias.data += 1
    save_classifiers(path, nets, {})
    assert fingerprint(path) != first


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"streamcodec_models\.phones"):
        load_classifiers(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelError, match="no phone classifiers"):
        load_classifiers(tmp_path / "text")
    save_classifiers(tmp_path / "half", {"mlp": FrameMlp()}, {})
    with pytest.raises(ModelError, match="no phone classifiers"):
        load_classifiers(tmp_path / "half")


class KnowsTheLanguage:
    """Hears the loudest tone; understands nothing of speakers called zed."""

    def label(self, samples, transcript=""):
        if transcript == "zed":
            return None
        frames = np.abs(np.fft.rfft(samples[: len(samples) // 160 * 160].reshape(-1, 160)))
        peaks = frames.argmax(1) * 100.0
        return (1 + np.abs(peaks[:, None] - np.array(TONES)).argmin(1)).astype(np.int8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    rows = ["file\tspeaker\ttranscript"]
    for i, speaker in enumerate(["ann", "bob", "zed"] * 3):
        path = folder / f"{i}.wav"
        folder.mkdir(exist_ok=True)
        sound, _ = speak(np.random.default_rng(i), 25)
        soundfile.write(path, sound, 16_000)
        rows.append(f"{path.name}\t{speaker}\t{speaker}")
    (folder / "manifest.tsv").write_text("\n".join(rows))
    return folder


def test_labelling_stops_when_there_is_enough(data: Path, tmp_path: Path) -> None:
    corpus = SpeechCorpus(data, tmp_path / "cache")

    def draw(hours: float, **options) -> list[phones.Labelled]:
        rng = np.random.default_rng(0)
        return phones.labelled(corpus, KnowsTheLanguage(), hours, rng, held_out=False, **options)

    assert len(draw(1 / 3600)) == 1
    everything = draw(1.0)
    spoken = [u for u in corpus.utterances if not u.held_out and u.speaker != "zed"]
    assert len(everything) == len(spoken)
    with pytest.raises(InputError, match="could be labelled"):
        draw(1.0, sources=["elsewhere"])


def test_command(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(phones, "PhoneLabeller", KnowsTheLanguage)
    out = tmp_path / "out" / "phones.safetensors"
    command = ["phones", "--data", str(data), "--out", str(out), "--steps", "3", "--batch", "2"]
    monkeypatch.setattr(sys, "argv", command)
    phones.main()
    assert set(load_classifiers(out)) == {"mlp", "lstm"}
    assert "lstm: frame phone error" in capsys.readouterr().out
    first = out.read_bytes()
    phones.main()
    assert out.read_bytes() == first  # the same seed, the same weights
    monkeypatch.setattr(sys, "argv", [*command[:2], str(tmp_path / "nowhere"), *command[3:]])
    with pytest.raises(SystemExit, match=r"^phones: .*nowhere"):
        phones.main()
