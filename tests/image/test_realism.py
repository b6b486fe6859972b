"""One file, drawn with more or less realism by whoever decodes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from streamcodec import decode_image, decode_image_file, encode_image
from streamcodec.core.model_file import FOR_DECODER
from streamcodec.errors import InputError, ModelError
from streamcodec.image.drawing import GRAIN, GRAIN_SHARE
from streamcodec.image.model import REALISM_FILE, ImageModel, load_image_model
from streamcodec.nn.grain import USUAL_STRENGTH, Grain
from streamcodec.nn.image import DRAWING


def add_realism(
    folder: Path, model: ImageModel, grain: dict[str, torch.Tensor] | None = None, **changes: object
) -> Path:
    """Other drawing layers for a model: its own, painted brighter by 0.1; perhaps with grain."""
    state = {
        name: weight.detach().contiguous().clone(memory_format=torch.contiguous_format)
        for name, weight in model.generator.named_parameters()
        if name.split(".")[0] in DRAWING
    }
    state["output.bias"] += 0.1
    state |= {GRAIN + name: tensor for name, tensor in (grain or {}).items()}
    described = {FOR_DECODER: model.identity.hex(), **changes}
    save_file(state, folder / REALISM_FILE, metadata={"config": json.dumps(described)})
    return folder


@pytest.fixture(scope="module")
def lively_folder(tiny_folder: Path, tiny: ImageModel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lively") / "tiny"
    return add_realism(Path(shutil.copytree(tiny_folder, folder)), tiny)


@pytest.fixture(scope="module")
def encoded(photo: NDArray[np.uint8], tiny: ImageModel) -> bytes:
    return encode_image(photo, quality=70, complexity=0, tile=80, model=tiny)


def test_files_do_not_know_of_it(lively_folder: Path, tiny: ImageModel, encoded: bytes) -> None:
    lively = load_image_model(lively_folder)
    assert lively.identity == tiny.identity
    plain = decode_image(encoded, model=tiny)
    np.testing.assert_array_equal(decode_image(encoded, model=lively), plain)
    assert lively.drawn_with(0.0).generator is lively.generator


def test_weights_lie_in_between(lively_folder: Path, encoded: bytes) -> None:
    lively = load_image_model(lively_folder)
    before = {k: v.clone() for k, v in lively.generator.state_dict().items()}
    plain, half, full = (
        decode_image(encoded, model=lively, realism=r).astype(float) for r in (0, 0.5, 1)
    )
    inner = (plain > 5) & (full < 250)
    assert np.abs((full - plain)[inner] - 25.5).max() <= 1
    assert np.abs((half - plain)[inner] - 12.75).max() <= 1
    # Other decoders draw on with what they had.
    assert all(torch.equal(v, before[k]) for k, v in lively.generator.state_dict().items())


def test_regions_and_files_are_drawn_alike(
    lively_folder: Path, encoded: bytes, tmp_path: Path
) -> None:
    whole = decode_image(encoded, model=lively_folder, realism=0.7)
    part = decode_image(encoded, (20, 30, 95, 140), model=lively_folder, realism=0.7)
    assert np.abs(part.astype(int) - whole[30:140, 20:95]).max() <= 1
    (tmp_path / "a.sci").write_bytes(encoded)
    decode_image_file(tmp_path / "a.sci", tmp_path / "a.png", model=str(lively_folder), realism=0.7)
    from PIL import Image

    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), whole)


@pytest.fixture
def grainy_folder(tiny_folder: Path, tiny: ImageModel, tmp_path: Path) -> Path:
    """Drawing layers as before, and grain of the usual strength everywhere."""
    grain = {
        k: torch.zeros_like(v)
        for k, v in Grain(tiny.generator.input.out_channels).state_dict().items()
    }
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "grainy"))
    return add_realism(folder, tiny, grain)


def test_grain_is_as_strong_as_realism_asks(
    lively_folder: Path, grainy_folder: Path, encoded: bytes
) -> None:
    for realism in (0.5, 1.0):
        smooth, grainy = (
            decode_image(encoded, model=folder, realism=realism).astype(float)
            for folder in (lively_folder, grainy_folder)
        )
        inner = (smooth > 40) & (smooth < 215)
        # Two bands of equal strength, independent but for what filters share.
        deviation = (grainy - smooth)[inner].std() / 255
        expected = GRAIN_SHARE * realism * USUAL_STRENGTH * 2**0.5
        assert deviation == pytest.approx(expected, rel=0.15)
    plain = decode_image(encoded, model=grainy_folder)
    np.testing.assert_array_equal(plain, decode_image(encoded, model=lively_folder))


def test_grain_of_a_region_is_that_of_the_whole(
    grainy_folder: Path, encoded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decode_image(encoded, model=grainy_folder, realism=1.0).astype(int)
    part = decode_image(encoded, (21, 33, 95, 140), model=grainy_folder, realism=1.0)
    assert np.abs(part - whole[33:140, 21:95]).max() <= 1
    monkeypatch.setattr("streamcodec.image.decoder.WINDOW", 2)
    assert np.abs(decode_image(encoded, model=grainy_folder, realism=1.0) - whole).max() <= 1


@pytest.mark.parametrize("realism", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_out_of_range_is_refused(
    realism: float, lively_folder: Path, encoded: bytes
) -> None:
    with pytest.raises(InputError, match="realism must be 0 to 1"):
        decode_image(encoded, model=lively_folder, realism=realism)


def test_a_model_that_cannot_says_so(tiny_folder: Path, encoded: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fidelity only"):
        decode_image(encoded, model=tiny_folder, realism=0.5)
    (tmp_path / "a.sci").write_bytes(encoded)
    (tmp_path / "a.png").write_bytes(b"older")
    with pytest.raises(InputError, match="fidelity only"):
        decode_image_file(
            tmp_path / "a.sci", tmp_path / "a.png", model=str(tiny_folder), realism=0.5
        )
    assert (tmp_path / "a.png").read_bytes() == b"older"


@pytest.mark.parametrize("fault", ["another's", "short", "torn", "grain"])
def test_layers_that_do_not_fit_are_refused_where_they_are_wanted(
    fault: str, tiny_folder: Path, tiny: ImageModel, encoded: bytes, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    if fault == "another's":
        add_realism(folder, tiny, **{FOR_DECODER: "00" * 8})
    elif fault == "grain":
        add_realism(folder, tiny, Grain(5).state_dict())
    elif fault == "short":
        save_file({"output.bias": torch.zeros(3)}, folder / REALISM_FILE, metadata={"config": "{}"})
    else:
        (folder / REALISM_FILE).write_bytes(b"\xff" * 100)
    messages = {
        "another's": "belongs to the decoder 0000",
        "short": "no drawing layers",
        "grain": "grain is not this generator's",
    }
    model = load_image_model(folder)
    with pytest.raises(ModelError, match=messages.get(fault, REALISM_FILE)):
        decode_image(encoded, model=model, realism=0.5)
    # Who does not ask for them does not mind.
    np.testing.assert_array_equal(
        decode_image(encoded, model=model), decode_image(encoded, model=tiny)
    )
