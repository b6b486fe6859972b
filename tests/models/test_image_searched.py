"""Training of the image model on what a search finds."""

from __future__ import annotations

import pytest
import torch
from streamcodec_models import image
from streamcodec_models.image_model import ImageModel
from streamcodec_models.image_searched import SearchedRateDistortion
from streamcodec_models.plot import read_curve

from tests.models.image_runs import TINY, minimize, photographs

RATE = torch.tensor([2, 4])


def objective_for(model: ImageModel, *, iterations: int = 12, replay: int = 1):
    lambdas = torch.tensor(TINY.lambdas)
    return SearchedRateDistortion(model, lambdas, "mse", iterations, replay, seed=0)


@pytest.fixture
def model() -> ImageModel:
    """Trained a little: with no picture at all in G there is nothing to search for."""
    torch.manual_seed(0)
    model = ImageModel(TINY)
    minimize(objective_for(model, iterations=1), photographs(2), RATE, steps=40)
    return model


def cost_of(model: ImageModel, pixels: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return objective_for(model).cost(pixels, RATE, symbols)[0]


def test_what_is_found_costs_less_than_what_is_guessed(model: ImageModel) -> None:
    pixels = photographs(2, seed=1)
    found = objective_for(model, iterations=30).search(pixels, RATE)
    assert torch.equal(found, found.round())
    with torch.no_grad():
        guess = model.encoder(pixels) * model.log_gain[RATE].exp()[:, None, None]
    gained = 1.0 - cost_of(model, pixels, found) / cost_of(model, pixels, guess.round())
    assert (gained > 0.01).all()


def test_a_channel_that_a_crop_has_no_use_for_stays_silent_there(model: ImageModel) -> None:
    pixels = photographs(2, seed=1)
    with torch.no_grad():
        model.encoder.output.weight[3] = 0.0
        model.encoder.output.bias[3] = 0.45 / model.log_gain[4, 3].exp()
        if model.encoder.shortcut is not None:
            model.encoder.shortcut.weight[3] = 0.0
        model.log_gain[2, 3] += 5.0
    found = objective_for(model).search(pixels, RATE)
    assert found[0, ..., 3].any()
    assert not found[1, ..., 3].any()


def test_cost_of_what_is_found_goes_down(model: ImageModel) -> None:
    pixels = photographs(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    objective = objective_for(model)
    first = cost_of(model, pixels, objective.search(pixels, RATE)).mean()
    minimize(objective, pixels, RATE, steps=30)
    assert cost_of(model, pixels, objective.search(pixels, RATE)).mean() < 0.97 * first
    moved = {
        n.split(".")[0] for n, v in model.state_dict().items() if not torch.equal(v, before[n])
    }
    # Symbols lie on the lattice of the gains, which stays where it is.
    assert moved == {"encoder", "generator", "prior", "log_step", "offset"}


def test_the_encoder_follows_and_does_not_lead(model: ImageModel) -> None:
    objective = objective_for(model)
    model.zero_grad(set_to_none=True)
    objective(photographs(2), RATE, 0.5)["guessed"].backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    others = [p for n, m in objective.trained.items() if n != "encoder" for p in m.parameters()]
    assert all(p.grad is None or not p.grad.any() for p in others)
    assert all(p.requires_grad for p in others)


def test_crops_of_before_are_learned_from_again(
    model: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_for(model, iterations=1, replay=2)
    learned: list[torch.Tensor] = []
    cost = objective.cost

    def watched(pixels, rate, symbols):
        learned.append(pixels)
        return cost(pixels, rate, symbols)

    monkeypatch.setattr(objective, "cost", watched)
    first, second = photographs(2, seed=1), photographs(2, seed=2)
    for pixels in (first, second):
        objective(pixels, RATE, 0.5)
    assert [len(pixels) for pixels in learned] == [2, 6]
    for crop in learned[1][2:]:
        assert min(float((crop - old).abs().max()) for old in first) <= 0.5 / 255 + 1e-6


def test_the_command_is_a_stage_of_its_own(train, tmp_path, monkeypatch) -> None:
    first = train("mse")
    monkeypatch.setattr(image, "HELD_OUT_SIDE", 64)
    second = train("mse", "--search", "2", "--replay", "1")
    assert not torch.equal(first["generator.up.weight"], second["generator.up.weight"])
    assert torch.equal(first["log_gain"], second["log_gain"])
    assert (tmp_path / "run" / "stage-image-searched.pt").exists()
    found = read_curve(tmp_path / "run" / "held-out-image-searched.tsv")
    assert {f"searched_cost@{r}" for r in range(len(TINY.lambdas))} <= found.keys()


@pytest.mark.parametrize("stage", [["--search", "4"], ["--encoder-alone"]])
def test_an_adversary_has_nothing_to_search_for(stage: list[str], capsys, monkeypatch) -> None:
    options = ["image", "--data", "x", "--run", "y", "--loss", "perceptual", *stage]
    monkeypatch.setattr("sys.argv", options)
    with pytest.raises(SystemExit):
        image.main()
    assert "go with the losses" in capsys.readouterr().err
