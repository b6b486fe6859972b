import json

import numpy as np
import pytest
import soundfile
import torch

from bench import search_plot, search_quality
from bench.clips import Clip
from bench.search_plot import draw
from bench.search_quality import against_guess, gain_at_equal_bits, main, rate_at_equal_quality
from bench.search_runs import (
    PER_CLIP,
    Measured,
    SearchBench,
    audible_distance,
    channel_entropy,
    packet_symbols,
    with_lattice,
)
from bench.signals import SAMPLE_RATE
from streamcodec.core.search import Budget
from streamcodec.speech.encoder import SpeechEncoder
from streamcodec.speech.model import load_speech_model
from streamcodec.speech.rate import FixedPrice


def measured(
    kbps: float, quality: float, group: str = "E alone", position: float = 1.0, ms: float = 10.0
) -> Measured:
    """Three clips of two seconds; the second is always harder."""
    seconds = 2.0
    row = dict.fromkeys(PER_CLIP, 0.0) | {
        "bits": 1000.0 * kbps * seconds, "seconds": seconds, "distance": 0.2 / quality,
        "encode_ms": 25 * ms, "packets": 25,
    }  # fmt: skip
    rows = []
    for harder in (0.0, 0.5, 0.0):
        row |= {"pesq_nb_raw": quality - harder, "pesq_wb": quality - 0.4 - harder}
        rows.append([row[key] for key in PER_CLIP])
    return Measured(group, group, position, np.array(rows), entropy=1000.0 * kbps)


GUESSES = [measured(kbps, 3.0 + 0.5 * np.log2(kbps)) for kbps in (1.6, 2.0, 2.5, 3.2)]


def test_figures_of_a_setting():
    setting = measured(2.0, 3.5, ms=12.0)
    assert setting.kbps == pytest.approx(2.0)
    assert setting.milliseconds == pytest.approx(12.0)
    assert setting.mean("pesq_nb_raw") == pytest.approx(3.5 - 0.5 / 3)
    document = json.loads(json.dumps(setting.summary()))
    assert len(document["clips"]) == 3
    assert document["clips"][1]["pesq_wb"] == pytest.approx(2.6)


def test_both_views_find_a_search_that_is_worth_a_tenth():
    # Half a point an octave: E alone must spend 2 ** 0.2 times as much for 0.1 more.
    search = measured(2.0, 3.6, "search")
    gain = gain_at_equal_bits(search, GUESSES, "pesq_nb_raw")
    assert gain.value == pytest.approx(0.1, abs=1e-6)
    # Paired: the hard clip is as hard for both, so the interval is a point.
    assert gain.high - gain.low < 1e-6
    rate = rate_at_equal_quality(search, GUESSES, "pesq_nb_raw")
    assert rate == pytest.approx(2.0 * 2**0.2)
    shown = "\n".join(against_guess([search, *GUESSES]))
    assert "at equal bits +0.100" in shown
    assert "12.9 % of the bits are saved" in shown


def test_entropy_is_that_of_each_channel():
    symbols = np.array([[0, 0], [1, 0], [0, 0], [1, 0]], np.int32)
    assert channel_entropy(symbols) == pytest.approx(4.0)


def test_another_lattice_carries_the_same_latents():
    model = load_speech_model()
    for step in (4.0, 1.0, 0.5):
        changed, rung = with_lattice(model, 2, step)
        assert torch.allclose(changed.gains[rung], model.gains[2] / step)
        assert changed.generator is model.generator
        others = [r for r in range(len(model.rates)) if r != rung]
        assert torch.equal(changed.gains[others], model.gains[others])
    coarse, at_coarse = with_lattice(model, 2, 4.0)
    fine, at_fine = with_lattice(model, 2, 0.5)
    assert coarse.trade_offs[at_coarse] > 3 * fine.trade_offs[at_fine]


@pytest.fixture(scope="module")
def real_speech_clip() -> Clip:
    from tests.signals import real_speech

    return Clip("speech.wav", real_speech(seconds=1.6))


def test_search_comes_closer_on_the_same_lattice(real_speech_clip):
    model = load_speech_model()
    found = []
    bench = SearchBench(model, [real_speech_clip])
    for budget in (Budget(0), Budget(0, 16)):
        encoder = SpeechEncoder(complexity=budget, model=model, control=FixedPrice(2))
        found.append(bench.measure("x", "x", 0, encoder))
    bench.close()
    assert found[1].mean("distance") < found[0].mean("distance")
    assert found[1].mean("encode_ms") > found[0].mean("encode_ms")
    assert 0.5 < found[0].kbps < 6.0
    assert found[0].column("packets").tolist() == [21.0]


def test_distance_is_taken_on_what_the_decoder_reads(real_speech_clip):
    encoder = SpeechEncoder(complexity=0, control=FixedPrice(4))
    packets = encoder.push(real_speech_clip.sound) + encoder.flush()
    symbols = packet_symbols(encoder.model, packets)
    assert [len(s) for s in symbols] == [2] * len(packets)
    right = audible_distance(encoder.model, packets, symbols, real_speech_clip.sound)
    silenced = [np.zeros_like(s) for s in symbols]
    assert right < 0.2
    assert audible_distance(encoder.model, packets, silenced, real_speech_clip.sound) > 3 * right


def test_figure_is_a_picture(tmp_path):
    effort = [measured(2.0, 3.4 + 0.02 * c, "complexity", c, ms=5.0 + 8.0 * c) for c in range(4)]
    lattice = [
        measured(kbps, 3.0 + 0.2 * kbps, method, 2.0 / kbps)
        for method in ("E alone", "ADMM")
        for kbps in (1.0, 2.0, 4.0)
    ]
    out = tmp_path / "deep" / "search.png"
    draw(effort, lattice, out, "a test")
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert out.stat().st_size > 20_000


def test_parts_measured_apart_make_the_same_figure(tmp_path, capsys):
    effort = [measured(2.0, 3.4 + 0.02 * c, "complexity", c, ms=5.0 + 8.0 * c) for c in range(3)]
    lattice = [measured(k, 3.0 + 0.2 * k, "ADMM", 2.0 / k) for k in (1.0, 2.0)]
    draw(effort, lattice, tmp_path / "at-once.png", "a test")
    files = [tmp_path / "effort.json", tmp_path / "lattice.json"]
    for path, part in zip(files, (effort, lattice), strict=True):
        document = {path.stem: [m.summary() for m in part], "caption": "a test"}
        path.write_text(json.dumps(document))
    apart = tmp_path / "apart.png"
    assert search_plot.main([*map(str, files), str(apart)]) == 0
    assert apart.read_bytes() == (tmp_path / "at-once.png").read_bytes()
    assert search_plot.main([str(files[0]), str(apart)]) == 2
    assert "'lattice'" in capsys.readouterr().err


def test_one_command_gives_table_and_json(tmp_path, monkeypatch, capsys, real_speech_clip):
    soundfile.write(tmp_path / "a.wav", real_speech_clip.sound, SAMPLE_RATE)
    monkeypatch.setattr(search_quality, "GUESS_STEPS", (1.3, 1.0))
    out = tmp_path / "deep" / "out.json"
    status = main([str(tmp_path), "--parts", "equal-rate", "--complexity", "1", "--json", str(out)])
    assert status == 0
    shown = capsys.readouterr().out
    assert "search, complexity 1" in shown
    assert "% of the bits are saved" in shown
    settings = json.loads(out.read_text())["equal-rate"]
    assert [s["group"] for s in settings] == ["search", "E alone", "E alone"]
    assert settings[1]["kbps"] < settings[2]["kbps"]


def test_what_cannot_be_drawn_is_refused_before_hours_of_work(tmp_path, capsys, babble):
    soundfile.write(tmp_path / "a.wav", babble, SAMPLE_RATE)
    arguments = [str(tmp_path), "--parts", "lattice", "--plot", str(tmp_path / "x.png")]
    assert main(arguments) == 2
    assert "--plot" in capsys.readouterr().err
