"""The training command in miniature: seeds, resumption, other devices, messages."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from streamcodec_models import losses, plot, speech
from streamcodec_models.plot import read_curve
from streamcodec_models.speech_model import (
    PACKET_STEPS,
    SpeechConfig,
    SpeechModel,
    load_config,
    load_model,
)
from streamcodec_models.speech_task import Task
from streamcodec_models.stage import RateControl

TINY = SpeechConfig(
    latent_dim=8, channels=16, hidden=16, blocks=1, vocoder_channels=16, vocoder_hidden=16,
    vocoder_blocks=1, prior_hidden=16, prior_context=2,
)  # fmt: skip


class Clock:
    """A second passes with every look at it; at ``stop_at`` somebody presses Ctrl-C."""

    def __init__(self, stop_at: float = np.inf) -> None:
        self.now, self.stop_at = 0.0, stop_at

    def monotonic(self) -> float:
        self.now += 1.0
        if self.now >= self.stop_at:
            raise KeyboardInterrupt
        return self.now


@pytest.fixture(autouse=True)
def tiny_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones would take most of the time; what they do is not looked at here."""

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nets = torch.nn.ModuleList(torch.nn.Conv1d(1, 2, k, 4) for k in (8, 16))

        def kinds(self):
            return [[0], [1]]

        def forward(self, x, picks):
            features = [self.nets[i](x[:, None]) for i in picks]
            return [(f.mean(1), [f]) for f in features]

    monkeypatch.setattr("streamcodec_models.adversary.Discriminator", Small)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for speaker in ("ann", "bob", "cyd"):
        folder = tmp_path / "data" / speaker
        folder.mkdir(parents=True)
        soundfile.write(folder / "a.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    return tmp_path / "data"


@pytest.fixture
def train(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a stage of the tiny model for so many seconds of a clock that only counts."""

    def run(
        name: str, *options: str, seconds: float = 12, stop_at: float = np.inf, draw: bool = False
    ) -> Path:
        # Drawing takes longer than the training here.
        picture = plot.draw_if_possible if draw else lambda folder: None
        monkeypatch.setattr(speech, "draw_if_possible", picture)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(asdict(TINY)))
        monkeypatch.setattr("streamcodec_models.stage.time", Clock(stop_at))
        arguments = [
            "--data", str(data), "--run", str(folder), "--cache", str(tmp_path / "cache"),
            "--minutes", str(seconds / 60), "--batch", "3", "--samples", "3840",
            "--judge-samples", "1024", "--print-seconds", "0", "--save-seconds", "0", *options,
        ]  # fmt: skip
        stage = [] if "--stage" in options else ["--stage", "autoencoder"]
        speech.train(speech.parser().parse_args(arguments + stage))
        return folder

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)


def checkpoint(folder: Path, stage: str = "autoencoder") -> dict:
    return torch.load(folder / f"stage-{stage}.pt", weights_only=False)


@pytest.mark.parametrize("stage", ["autoencoder", "vocoder", "joint"])
def test_same_seed_same_weights(stage: str, train) -> None:
    options = ["--stage", stage, "--adversary-from", "0.3"]
    first, second = weights(train("a", *options)), weights(train("b", *options))
    other = weights(train("c", *options, "--seed", "1"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_resumption_goes_on_with_steps_rate_and_curve(train, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("a", seconds=30, stop_at=14)
    before = checkpoint(tmp_path / "a")
    assert before["step"] > 2
    assert not (tmp_path / "a" / "model.pt").exists()

    folder = train("a", seconds=30)
    after = checkpoint(folder)
    assert after["step"] > before["step"]
    assert before["seconds"] < after["seconds"] <= 30
    assert (folder / "model.pt").exists()
    # One learning-rate schedule over both parts: at its end it is where the whole budget ends.
    rate = after["optimizer"]["param_groups"][0]["lr"]
    assert rate == pytest.approx(5e-4 * losses.cosine(after["seconds"] / 30))
    curve = read_curve(folder / "curve-autoencoder.tsv")
    assert (np.diff(curve["step"]) > 0).all()
    assert (np.diff(curve["minute"]) > 0).all()
    assert curve["step"][-1] == after["step"]


def test_resumption_is_where_it_was(train, tmp_path: Path) -> None:
    """Moments of the optimizer, averages and multipliers of the rate are those that were saved."""
    with pytest.raises(KeyboardInterrupt):
        train("a", seconds=30, stop_at=14)
    before = checkpoint(tmp_path / "a")
    # No time is left: nothing is trained, everything is read and written again.
    train("a", seconds=before["seconds"])
    after = checkpoint(tmp_path / "a")
    assert after["step"] == before["step"]
    assert after["extra"] == before["extra"]
    for name, value in before["average"].items():
        assert torch.equal(after["average"][name], value)
    for name, module in before["modules"].items():
        assert all(torch.equal(after["modules"][name][k], v) for k, v in module.items())
    for index, moments in before["optimizer"]["state"].items():
        assert all(
            torch.equal(after["optimizer"]["state"][index][k], v) for k, v in moments.items()
        )


def test_stages_follow_each_other(train, tmp_path: Path) -> None:
    folder = train("a")
    first = weights(folder)
    train("a", "--stage", "vocoder", draw=True)
    second = weights(folder)
    moved = {k.split(".")[0] for k in first if not torch.equal(first[k], second[k])}
    assert moved == {"vocoder"}
    assert (folder / "curves.png").exists()
    train("a", "--stage", "joint", "--adversary-from", "0")
    multipliers = checkpoint(folder, "joint")["extra"]["log_lambda"]
    # They go on from where the autoencoder's stage had brought them, not from the beginning.
    assert multipliers == pytest.approx(checkpoint(folder)["extra"]["log_lambda"], abs=0.3)


def test_a_run_begun_on_a_gpu_goes_on_without_one(
    train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--stage", "joint", "--adversary-from", "0"]
    folder = train("a", *options)
    files = [folder / name for name in ("model.pt", "stage-joint.pt", "discriminator.pt")]
    contents = [torch.load(path, weights_only=False) for path in files]
    with monkeypatch.context() as patched:
        patched.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        for path, content in zip(files, contents, strict=True):
            torch.save(content, path)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(files[0], weights_only=True)
    train("a", *options, seconds=20)
    assert checkpoint(folder, "joint")["step"] > contents[1]["step"]
    assert load_model(folder, load_config(folder))


def test_nothing_stays_behind_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device nothing is computed, but tensors of two devices do not go together."""
    device = torch.device("meta")
    model = SpeechModel(TINY).to(device)
    task = Task(SimpleNamespace(), model, SimpleNamespace(), iter(()), torch.zeros(0), device)
    monkeypatch.setattr(task, "autocast", nullcontext)
    x = torch.zeros(3, 3840, device=device)
    rate = task.draw_rates(3)
    out, mel, bits = task.autoencode(x, rate)
    y = task.vocode(out)
    spectral = losses.MultiResolutionSpectralLoss().to(device)
    control = RateControl(TINY.targets)
    loss = spectral(y, x[:, : y.shape[1]]) + losses.mel_loss(out, mel)
    loss = loss + (control.weights(rate) * bits.mean(1)).mean()
    loss.backward()
    assert loss.device == device
    assert all(p.grad is not None and p.grad.is_meta for p in model.encoder.parameters())


@pytest.mark.parametrize("where", ["nowhere", "empty", "librispeech:nowhere"])
def test_messages_without_traceback(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    command = ["speech", "--data", where, "--run", "run", "--stage", "autoencoder"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"^speech: .*(nowhere|empty)"):
        speech.main()


def test_packets_by_themselves_are_rated_without_a_past() -> None:
    torch.manual_seed(0)
    model = SpeechModel(TINY)
    torch.nn.init.normal_(model.prior.output.weight)
    symbols = torch.randint(-3, 4, (3, 6, TINY.latent_dim)).float()
    rate = torch.tensor([0, 2, 4])
    bits = model.rated(symbols, symbols, rate, alone=2)
    assert bits.shape == (3, 6)
    for crop in range(3):
        own, rung = symbols[crop : crop + 1], rate[crop : crop + 1]
        size = PACKET_STEPS if crop < 2 else 6
        for start in range(0, 6, size):
            part = own[:, start : start + size]
            expected = model.rated(part, part, rung)[0]
            torch.testing.assert_close(bits[crop, start : start + size], expected)


def test_erased_packets_are_whole_and_told_by_one_vector() -> None:
    torch.manual_seed(0)
    model = SpeechModel(TINY)
    torch.nn.init.normal_(model.generator.lost)
    latents = torch.zeros(1024, 8, TINY.latent_dim)
    found = model.erased(latents, 0.5)
    gone = (found == model.generator.lost).all(2)
    assert torch.equal(gone, ~(found == 0).all(2))
    # Whole packets, in about half of the crops, a fifth of theirs.
    assert torch.equal(gone[:, ::PACKET_STEPS], gone[:, 1::PACKET_STEPS])
    assert 0.02 < float(gone.float().mean()) < 0.25
    assert 0.2 < float(gone.any(1).float().mean()) < 0.6
    assert torch.equal(model.erased(latents, 0.0), latents)


def test_the_lost_vector_is_learned(train) -> None:
    assert not weights(train("a", "--losing", "0"))["generator.lost"].any()
    folder = train("b", "--losing", "1", "--alone", "0.4")
    assert weights(folder)["generator.lost"].any()
    columns = read_curve(folder / "curve-autoencoder.tsv")
    assert np.isfinite(columns["loss"]).all()
