"""Curves are read whatever happened to the run, and drawn."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from streamcodec_models import plot
from streamcodec_models.stage import _append

from streamcodec.errors import InputError

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A stage whose adversary begins after five rows, and a short one."""
    for step in range(10):
        row = {"step": step, "minute": step / 2, "loss": 1.0 / (1 + step)}
        _append(tmp_path / "curve-vocoder.tsv", row | ({"adv": 2.0} if step >= 5 else {}))
    _append(tmp_path / "curve-joint.tsv", {"step": 3, "minute": 0.1, "loss": 0.5, "other": 7.0})
    return tmp_path


def test_columns_may_come_later(run: Path) -> None:
    curve = plot.read_curve(run / "curve-vocoder.tsv")
    np.testing.assert_array_equal(curve["step"], np.arange(10))
    np.testing.assert_allclose(curve["loss"], 1 / np.arange(1, 11), rtol=1e-4)
    np.testing.assert_array_equal(np.isfinite(curve["adv"]), np.arange(10) >= 5)


def test_what_does_not_fit_is_passed_over(run: Path) -> None:
    path = run / "curve-vocoder.tsv"
    with path.open("a") as out:
        out.write("11\t5.5\t0.1\t2\t3\t4\n12\t6\tnonsense\t1\n13\t6.5")
    assert len(plot.read_curve(path)["step"]) == 10


@pytest.mark.parametrize("text", ["", "step\tminute\tloss\n", "a\tb\n1\t2\n", "step\tloss\n1\t2\n"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "curve-x.tsv").write_text(text)
    with pytest.raises(InputError, match=r"curve-x\.tsv is no training curve"):
        plot.read_curve(tmp_path / "curve-x.tsv")


def test_running_mean() -> None:
    np.testing.assert_allclose(plot.running_mean(np.full(100, 3.0)), 3.0)
    line = np.arange(200.0)
    np.testing.assert_allclose(plot.running_mean(line)[10:-10], line[10:-10])
    noise = np.random.default_rng(0).standard_normal(200)
    assert plot.running_mean(noise).std() < 0.5 * noise.std()
    assert plot.running_mean(np.array([4.0])) == [4.0]


def test_every_quantity_has_its_panel(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    original = plot._draw_panel

    def draw_panel(axis, name, curves) -> None:
        drawn.append(name)
        original(axis, name, curves)

    monkeypatch.setattr(plot, "_draw_panel", draw_panel)
    assert plot.draw_if_possible(run) == run / "curves.png"
    assert drawn == ["loss", "adv", "other"]
    assert (run / "curves.png").read_bytes().startswith(PNG)


def test_command(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["plot", str(run), "-o", str(run / "p.png")])
    plot.main()
    assert (run / "p.png").read_bytes().startswith(PNG)
    assert "p.png" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["plot", str(run / "nothing")])
    with pytest.raises(SystemExit, match="no curves"):
        plot.main()


def test_without_matplotlib_training_goes_without(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert plot.draw_if_possible(run) is None


def test_a_run_without_curves_is_not_drawn(tmp_path: Path) -> None:
    assert plot.draw_if_possible(tmp_path) is None
