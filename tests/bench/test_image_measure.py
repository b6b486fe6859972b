import pytest

from bench.cache import ResultCache
from bench.image_codec import ImageCodec
from bench.image_measure import ImageBench
from bench.image_rate import Encoded
from bench.pictures import Picture
from tests.bench.pictures import make_scene

PICTURES = [Picture("one", make_scene(20, 30)), Picture("two", make_scene(20, 30, seed=2))]


class Raw(ImageCodec):
    """Keeps the pixels and claims another size."""

    name = "raw"
    version = "1"

    def __init__(self, excess=0):
        self.excess = excess
        self.calls = []
        self.shape = (20, 30, 3)

    def available(self):
        return None

    def encode_at_rate(self, picture, bpp, rule):
        self.calls.append((picture.name, bpp, rule))
        return Encoded(bytes(int(bpp * picture.area / 8) + self.excess), 7.0, 0.5, 0.6)

    def decode(self, data):
        return make_scene(*self.shape[:2])


class Difference:
    key = "difference-1"

    def __init__(self):
        self.calls = 0

    def __call__(self, name, original, decoded):
        self.calls += 1
        return {"difference": float(abs(original.astype(int) - decoded).max())}


def bench(folder=None, rates=(0.8, 1.6), rule="below", score=None):
    return ImageBench(PICTURES, rates, rule, score or Difference(), ResultCache(folder))


def test_every_picture_at_every_rate():
    results = bench().run([Raw()])
    assert [(r.clip, r.rate, r.bits) for r in results] == [
        ("one", 0.8, 480),
        ("one", 1.6, 960),
        ("two", 0.8, 480),
        ("two", 1.6, 960),
    ]
    assert results[0].values["difference"] == 0.0
    assert results[2].values["difference"] > 0.0
    assert results[0].values | {"decode_wall": 0.0} == {
        "pixels": 600.0,
        "setting": 7.0,
        "over": 0.0,
        "encode_wall": 0.6,
        "decode_wall": 0.0,
        "difference": 0.0,
    }
    assert results[0].encode_seconds == 0.5


def test_results_are_kept_by_picture_rate_rule_and_score(tmp_path):
    first = bench(tmp_path).run([Raw()])
    again = Raw()
    score = Difference()
    assert bench(tmp_path, score=score).run([again]) == first
    assert (again.calls, score.calls) == ([], 0)

    bench(tmp_path, rates=(0.8, 2.4)).run([again])
    assert {bpp for name, bpp, _ in again.calls if name != "warm-up"} == {2.4}
    other_rule = Raw()
    bench(tmp_path, rule="nearest").run([other_rule])
    assert len(other_rule.calls) == 5  # with the warm-up
    changed = Raw()
    changed.version = "2"
    bench(tmp_path).run([changed])
    assert len(changed.calls) == 5


def test_a_file_above_the_rate_is_marked_unless_nearest_was_asked():
    def over(rule, excess):
        return [r.values["over"] for r in bench(rates=(0.8,), rule=rule).run([Raw(excess)])]

    assert over("below", 0) == [0.0, 0.0]
    assert over("below", 1) == [1.0, 1.0]
    # Of 60 bytes, half a step is no miss, but a fifth of the size is.
    assert over("nearest", 5) == [0.0, 0.0]
    assert over("nearest", 12) == [1.0, 1.0]


def test_a_codec_that_fails_costs_its_results_only():
    broken = Raw()
    broken.name = "broken"
    broken.shape = (20, 20, 3)
    results = bench(rates=(1.0,)).run([broken, Raw()])
    assert [r.failed for r in results] == [True, True, False, False]
    assert results[0].errors == ["ValueError: decoded to shape (20, 20, 3), expected (20, 30, 3)"]


@pytest.mark.parametrize("rule", ["below", "nearest"])
def test_rule_reaches_the_codec(rule):
    codec = Raw()
    bench(rule=rule).run([codec])
    assert {call[2] for call in codec.calls} == {rule}
