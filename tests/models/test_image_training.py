"""Training of the image model in miniature: what each loss lowers, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from streamcodec_models.image_model import ImageModel, load_config
from streamcodec_models.image_objectives import LOSSES, objective_of
from streamcodec_models.plot import read_curve
from streamcodec_models.stage import Stage

from streamcodec.image.distortion import ms_ssim
from streamcodec.nn.image import DRAWING
from streamcodec.nn.patch_discriminator import PatchDiscriminator
from tests.models.image_runs import TINY, minimize, options, photographs


def test_variants_follow_a_run_of_squared_error(train, tmp_path: Path) -> None:
    first = train("mse")
    assert load_config(tmp_path / "run").distortion == "mse"
    second = train("perceptual")
    moved = {k.split(".")[0] for k in first if not torch.equal(first[k], second[k])}
    # Bits and symbols stay what they were, and so does what G composes of them.
    assert moved == {"generator"}
    moved = {k.split(".")[1] for k in first if not torch.equal(first[k], second[k])}
    assert moved == set(DRAWING)
    assert (tmp_path / "run" / "discriminator.pt").exists()
    assert load_config(tmp_path / "run").distortion == "mse"
    third = train("ms-ssim")
    moved = {k.split(".")[0] for k in second if not torch.equal(second[k], third[k])}
    assert moved == {"encoder", "generator", "prior", "log_gain", "log_step", "offset"}
    assert load_config(tmp_path / "run").distortion == "ms-ssim"
    # A stage of its own each: none goes on with the moments of another.
    assert len(list((tmp_path / "run").glob("stage-*.pt"))) == 3


def test_an_encoder_alone_catches_up(train) -> None:
    """Of all networks it alone changes, and it costs less with those that stay."""
    first = train("mse")
    second = train("mse", "--encoder-alone")
    moved = {k.split(".")[0] for k in first if not torch.equal(first[k], second[k])}
    assert moved == {"encoder"}
    torch.manual_seed(0)
    model = ImageModel(TINY)
    objective = objective_of(model, torch.tensor(TINY.lambdas), options("--encoder-alone"))
    pixels, rate = photographs(2), torch.tensor([2, 4])
    before = float(objective(pixels, rate, 0.5)["loss"].detach())
    minimize(objective, pixels, rate, steps=30)
    after = float(objective(pixels, rate, 0.5)["loss"].detach())
    assert after < 0.9 * before


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_minimized_goes_down(loss: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ImageModel(TINY)
    args = options("--loss", loss, "--adversarial", "0", "--features", "0", run=tmp_path)
    objective = objective_of(model, torch.tensor(TINY.lambdas), args)
    parameters = [p for m in objective.trained.values() for p in m.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    pixels, rate = photographs(2), torch.tensor([2, 4])
    values = []
    for _ in range(30):
        loss_now = objective(pixels, rate, 0.5)["loss"]
        optimizer.zero_grad()
        loss_now.backward()
        optimizer.step()
        values.append(float(loss_now.detach()))
    # Drawing layers alone have little to say about what is drawn.
    share = 0.85 if loss == "perceptual" else 0.7
    assert np.mean(values[-5:]) < share * np.mean(values[:5])


def test_ms_ssim_is_what_its_loss_raises(tmp_path: Path) -> None:
    """At equal steps from the same weights, more of it than squared error brings."""
    reached = {}
    pixels, rate = photographs(2), torch.tensor([3, 3])
    # Textured, so that structure and squared error are not the same thing.
    pixels = (pixels + 0.06 * torch.randn(pixels.shape, generator=torch.Generator())).clamp(0, 1)
    for loss in ("mse", "ms-ssim"):
        torch.manual_seed(0)
        model = ImageModel(TINY)
        objective = objective_of(model, torch.tensor(TINY.lambdas), options("--loss", loss))
        minimize(objective, pixels, rate, steps=60)
        with torch.no_grad():
            reached[loss] = float(ms_ssim(model(pixels, rate)[0].clamp(0, 1), pixels).mean())
    assert reached["ms-ssim"] > reached["mse"]


def test_the_adversary_sees_what_a_decoder_draws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ImageModel(TINY)
    assert model.generator.shortcut is not None
    torch.nn.init.normal_(model.generator.shortcut.weight, std=0.3)
    args = options("--loss", "perceptual", run=tmp_path)
    objective = objective_of(model, torch.tensor(TINY.lambdas), args)
    pixels, rate = photographs(2), torch.tensor([2, 4])
    with torch.no_grad():
        drawn = model.generator(model.dequantized(model.encoder(pixels), rate))
    expected = -10 * (drawn - pixels).square().mean().log10()
    assert float(objective(pixels, rate, 0.5)["psnr"]) == pytest.approx(float(expected), abs=0.1)


def test_the_adversary_learns_and_is_heard(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ImageModel(TINY)
    args = options("--loss", "perceptual", "--judge-lr", "2e-3", run=tmp_path)
    objective = objective_of(model, torch.tensor(TINY.lambdas), args)
    pixels, rate = photographs(2), torch.tensor([2, 2])
    judged = [float(objective(pixels, rate, 0.5)["judge"]) for _ in range(30)]
    assert np.mean(judged[-5:]) < np.mean(judged[:5]) - 0.2
    values = objective(pixels, rate, 0.5)
    (values["adv"] + values["feat"]).backward()
    heard = {
        name.split(".")[0] for name, p in model.generator.named_parameters() if p.grad is not None
    }
    assert heard == set(DRAWING)
    assert all(p.grad is None for p in model.encoder.parameters())
    # Before it counts the loss is squared error alone.
    early = objective(pixels, rate, 0.0)
    error = 10 ** (-float(early["psnr"]) / 10)
    assert float(early["loss"].detach()) == pytest.approx(
        TINY.lambdas[2] * 255**2 * error, rel=1e-3
    )


def test_discriminator_hears_of_the_latents() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(latent_dim=4, channels=8).eval()
    pixels, latents = torch.rand(1, 3, 64, 48), torch.randn(1, 4, 3, 4)
    score, features = judge(pixels, latents)
    assert score.shape == (1, 1, 4, 3)
    assert [f.shape[2] for f in features] == [16, 8, 4, 4]
    assert not torch.equal(score, judge(pixels, latents + 1.0)[0])
    with pytest.raises(ValueError, match="latents"):
        judge(pixels, latents.transpose(1, 2))


def test_held_out_figures_come_during_the_run(train, tmp_path: Path) -> None:
    train("mse", "--check-minutes", "0.05")
    curve = read_curve(tmp_path / "run" / "held-out-image.tsv")
    assert len(curve["step"]) >= 3
    assert (np.diff(curve["step"][:-1]) > 0).all()
    assert np.isfinite(curve["psnr@0"]).all()
    assert curve["psnr@0"][-1] != curve["psnr@0"][0]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Networks and random numbers after a look are those before it."""
    torch.manual_seed(0)
    model = ImageModel(TINY)
    args = options("--run", str(tmp_path))
    stage = Stage("image", args, {"encoder": model.encoder})
    with torch.no_grad():
        for tensor in stage.average.values():
            tensor.zero_()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()

    def figures() -> dict[str, float]:
        torch.rand(5)
        return {"peak": float(model.encoder.output.weight.detach().abs().max())}

    with stage._averages_in_place():
        stage._check(figures)
    assert read_curve(tmp_path / "held-out-image.tsv")["peak"].tolist() == [0.0]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
