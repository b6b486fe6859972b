"""The loss bench: the patterns, the bookkeeping on a stand-in codec, one run on the real one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from bench import call_loss
from bench.call_loss import conditions, gilbert_loss, measure, missing, random_loss, render
from bench.clips import Clip
from bench.metrics import Metric
from tests.signals import real_speech

FRAME = 1280


def draw(pattern, count, seed=3):
    return pattern(np.random.default_rng(seed), count)


def burst_lengths(lost):
    edges = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_random_loss_has_its_rate(rate):
    assert draw(random_loss(rate), 100_000).mean() == pytest.approx(rate, abs=0.005)


def test_what_a_low_rate_loses_a_high_one_loses_too():
    few, many = draw(random_loss(0.05), 5000), draw(random_loss(0.2), 5000)
    assert few.any()
    assert not (few & ~many).any()


@pytest.mark.parametrize(("rate", "burst"), [(0.05, 2.5), (0.2, 5.0), (0.1, 1.0)])
def test_bursts_have_their_rate_and_length(rate, burst):
    lost = draw(gilbert_loss(rate, burst), 400_000)
    assert lost.mean() == pytest.approx(rate, rel=0.05)
    assert burst_lengths(lost).mean() == pytest.approx(burst, rel=0.05)


def test_bursts_last_as_long_with_short_packets_as_with_long_ones():
    seconds = {
        packet: packet * burst_lengths(draw(conditions(packet)["bursts 10%"], 200_000)).mean()
        for packet in (0.04, 0.08)
    }
    assert seconds[0.04] == pytest.approx(seconds[0.08], rel=0.05)


def test_a_repeated_packet_is_missing_only_if_the_next_is_lost_too():
    lost = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1], bool)
    assert missing(lost, False) is lost
    np.testing.assert_array_equal(missing(lost, True), [0, 0, 1, 0, 0, 1, 1, 0, 0, 1])


class Packet(bytes):
    bits = 100


class StandIn:
    """Each packet says its number; a concealed one is silent, or what is behind it."""

    name = "stand-in"

    def encode(self, sound):
        return [Packet([n + 1]) for n in range(len(sound) // FRAME)]

    def decode(self, wire, lookahead=0):
        self.wire = list(wire)
        return np.repeat([data[0] if data else 0 for data in wire], FRAME).astype(np.float32)


class Heard(Metric):
    """Share of the samples that are not silent."""

    name, packages, modules = "heard", (), ()
    columns = tuple(call_loss.COLUMNS)

    def score(self, clip, decoded):
        return dict.fromkeys(self.columns, float(np.mean(decoded != 0)))


def test_means_and_changes_are_of_the_same_clips(monkeypatch):
    monkeypatch.setattr(call_loss, "align", lambda degraded, reference: degraded)
    clips = [Clip(f"{n}", np.full(FRAME * 40, 0.01 * (n + 1), np.float32)) for n in range(3)]
    draws = {"lossless": random_loss(0.0), "half": random_loss(0.5)}
    rows, figures = measure(clips, StandIn(), draws, [Heard()])
    assert [row.condition for row in rows] == ["lossless", "half"]
    assert rows[0].lost == 0.0
    assert rows[0].changes["estoi"] == 0.0
    assert rows[1].means["estoi"] == pytest.approx(1 - rows[1].lost)
    assert rows[1].changes["estoi"] == pytest.approx(-rows[1].lost)
    assert 0.3 < rows[1].lost < 0.7
    assert figures.kbit_s == pytest.approx(40 * 100 / (40 * 0.08) / 1000)
    again, _ = measure(clips, StandIn(), draws, [Heard()])
    assert again == rows
    twice, figures = measure(clips, StandIn(), draws, [Heard()], repeat=True)
    assert twice[1].lost == rows[1].lost
    assert twice[1].means["estoi"] > rows[1].means["estoi"]
    assert figures.kbit_s == pytest.approx(2 * 1.25)
    assert f"({rows[1].changes['estoi']:+.3f})" in render(rows).splitlines()[2]


def test_it_runs_on_the_real_codec(tmp_path, capsys):
    soundfile.write(tmp_path / "talk.wav", real_speech(3.0), 16_000)
    result = tmp_path / "loss.json"
    options = [str(tmp_path), "--complexity", "0", "--low-delay", "--lookahead", "1"]
    assert call_loss.main([*options, "--json", str(result)]) == 0
    printed = capsys.readouterr().out
    found = json.loads(result.read_text())
    rows = {row["condition"]: row for row in found["rows"]}
    assert len(rows) == 7
    assert all(name in printed for name in rows)
    assert rows["lossless"]["changes"]["pesq_wb"] == 0.0
    assert rows["random 20%"]["changes"]["estoi"] < 0.0
    assert 1.0 < found["kbit_s"] < 4.0


def test_no_recordings_is_said(tmp_path, capsys):
    assert call_loss.main([str(tmp_path)]) == 2
    assert "no recordings" in capsys.readouterr().err
