import itertools

import pytest

from bench.image_rate import Encoded, budget_bytes, choose, fit, fit_ratio


def sized(size, setting=0.0):
    return Encoded(bytes(size), setting, 0.0, 0.0)


class Counted:
    """Encodes to given sizes, and counts."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)
        return sized(self.sizes[step], step)


EXPONENTIAL = [round(100 * 1.02**step) for step in range(400)]


def test_budget_is_whole_bytes():
    assert budget_bytes(0.286, 512 * 768) == 14057
    assert budget_bytes(8.0, 3) == 3


@pytest.mark.parametrize("budget", [100, 101, 150, 999, 14057, 100_000, 10**6])
def test_largest_below_and_nearest_are_found(budget):
    below = [size for size in EXPONENTIAL if size <= budget]
    found = fit(Counted(EXPONENTIAL), 400, budget, "below").size
    assert found == max(below) or budget * 0.998 <= found <= budget
    found = fit(Counted(EXPONENTIAL), 400, budget, "nearest").size
    best = min(abs(size - budget) for size in EXPONENTIAL)
    assert abs(found - budget) <= max(best, budget * 0.002)


def test_every_budget_on_coarse_steps():
    sizes = [10, 20, 20, 40, 80, 80, 160]
    for budget in range(10, 200):
        encoded = fit(Counted(sizes), len(sizes), budget, "below")
        assert encoded.size == max(size for size in sizes if size <= budget)


def test_search_is_short_and_asks_no_step_twice():
    for budget in range(100, 200_000, 777):
        counted = Counted(EXPONENTIAL)
        fit(counted, 400, budget, "below")
        assert len(counted.steps) == len(set(counted.steps)) <= 14


def test_sizes_that_fall_now_and_then_never_exceed_the_budget():
    # Swaps neighbours: rising by pairs, falling inside them.
    wavy = list(
        itertools.chain.from_iterable(zip(EXPONENTIAL[1::2], EXPONENTIAL[::2], strict=True))
    )
    for budget in range(150, 100_000, 991):
        found = fit(Counted(wavy), len(wavy), budget, "below").size
        assert budget / 1.05 <= found <= budget


def test_smallest_file_if_all_exceed():
    assert fit(Counted([50, 60, 70]), 3, 40, "below").size == 50
    assert fit(Counted([50, 60, 70]), 3, 40, "nearest").size == 50


def test_one_step_is_enough():
    assert fit(Counted([50]), 1, 60, "below").size == 50


def test_nearest_may_exceed_where_below_may_not():
    tried = [sized(90), sized(103)]
    assert choose(tried, 100, "below").size == 90
    assert choose(tried, 100, "nearest").size == 103


def test_a_codec_that_takes_a_rate_is_corrected():
    asked = []

    def encode(bpp):
        asked.append(bpp)
        return sized(int(1200 * bpp), bpp)  # 20 % too much

    encoded = fit_ratio(encode, 1.0, 1000, "below", tolerance=0.01, attempts=4)
    assert 990 <= encoded.size <= 1000
    assert len(asked) == 2
    assert asked[0] == 1.0


def test_a_codec_that_cannot_be_corrected_is_left_after_so_many_attempts():
    asked = []

    def encode(bpp):
        asked.append(bpp)
        return sized(1100)

    assert fit_ratio(encode, 1.0, 1000, "below", tolerance=0.01, attempts=3).size == 1100
    assert len(asked) == 3


def test_a_rate_that_is_met_at_once_is_not_asked_again():
    asked = []

    def encode(bpp):
        asked.append(bpp)
        return sized(995)

    fit_ratio(encode, 1.0, 1000, "below", tolerance=0.01, attempts=3)
    assert asked == [1.0]


def test_no_more_is_asked_for_than_there_is():
    """A plain picture stays small however much is asked for."""
    asked = []

    def encode(bpp):
        asked.append(bpp)
        return sized(100)

    assert fit_ratio(encode, 1.0, 1000, "nearest", 0.01, 4, largest=16.0).size == 100
    assert asked == [1.0, 10.0, 16.0]
