import math

import numpy as np
import pytest

from bench.cache import ResultCache
from bench.clips import Clip
from bench.measure import Bench
from bench.metrics import Metric
from bench.peers import Codec, Transcoded


class Gain(Codec):
    """Scales by a factor and counts how often it was called."""

    version = "1"

    def __init__(self, name="gain", fail_on=None):
        self.name = name
        self.fail_on = fail_on
        self.calls = 0

    def available(self):
        return None

    def transcode(self, sound):
        self.calls += 1
        if self.fail_on is not None and np.array_equal(sound, self.fail_on):
            raise RuntimeError("no thanks")
        return Transcoded(100, 0.5 * sound, 0.25, 0.125)


class Peak(Metric):
    name = "peak"
    columns = ("peak",)
    packages = ("numpy",)
    modules = ("numpy",)

    def __init__(self):
        self.prepared = 0

    def prepare(self):
        self.prepared += 1

    def score(self, clip, decoded):
        return {"peak": float(np.abs(decoded).max())}


class Broken(Peak):
    name = "broken"
    columns = ("broken",)

    def score(self, clip, decoded):
        raise ZeroDivisionError("oh")


class Slow(Peak):
    name = "slow"
    columns = ("slow",)
    slow = True

    def score(self, clip, decoded):
        return {"slow": 1.0}


@pytest.fixture
def clips(babble):
    return [Clip("a", babble), Clip("b", 0.5 * babble)]


def test_every_clip_is_measured_and_models_prepared_once(clips, babble):
    metric = Peak()
    results = Bench(clips, [metric], set(), ResultCache(None)).run([Gain(), Gain("other")])
    assert [(r.codec, r.clip) for r in results] == [
        ("gain", "a"), ("gain", "b"), ("other", "a"), ("other", "b"),
    ]  # fmt: skip
    assert results[1].values["peak"] == pytest.approx(np.abs(babble).max() / 4, abs=1e-6)
    assert (results[0].bits, results[0].encode_seconds, results[0].decode_seconds) == (
        100, 0.25, 0.125,
    )  # fmt: skip
    assert metric.prepared == 1


def test_slow_metrics_keep_to_their_subset(clips):
    results = Bench(clips, [Peak(), Slow()], {clips[1].identity}, ResultCache(None)).run([Gain()])
    assert [sorted(r.values) for r in results] == [["peak"], ["peak", "slow"]]


def test_a_second_run_only_adds_what_is_missing(clips, tmp_path):
    first = Gain()
    Bench(clips, [Peak()], set(), ResultCache(tmp_path)).run([first])
    assert first.calls == 3  # two clips and the warm-up

    again, metric = Gain(), Peak()
    results = Bench(clips, [metric], set(), ResultCache(tmp_path)).run([again])
    assert (again.calls, metric.prepared) == (0, 0)
    assert all("peak" in r.values for r in results)

    more = Gain()
    everyone = {clip.identity for clip in clips}
    results = Bench(clips, [Peak(), Slow()], everyone, ResultCache(tmp_path)).run([more])
    assert more.calls == 3
    assert all(sorted(r.values) == ["peak", "slow"] for r in results)


def test_a_codec_that_fails_is_a_result(clips):
    codec = Gain(fail_on=clips[0].sound)
    failed, done = Bench(clips, [Peak()], set(), ResultCache(None)).run([codec])
    assert failed.failed
    assert failed.errors == ["RuntimeError: no thanks"]
    assert not done.failed


def test_a_metric_that_fails_leaves_the_others(clips):
    results = Bench(clips, [Broken(), Peak()], set(), ResultCache(None)).run([Gain()])
    assert all(math.isnan(r.values["broken"]) and r.values["peak"] > 0 for r in results)
    assert results[0].errors == ["broken: ZeroDivisionError: oh"]
    assert not results[0].failed
