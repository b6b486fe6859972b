import math

import numpy as np
import pytest

from bench.bd_rate import bd_rate

# Two encodings of one video (kbit/s, dB). The reference is what the package bjontegaard 1.3.0,
# method "pchip", gives for them; it was written apart from ours.
ANCHOR = [9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]
OTHER = [9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]
REFERENCE = -4.417485


def test_known_example():
    assert bd_rate(*ANCHOR, *OTHER) == pytest.approx(REFERENCE, abs=1e-6)


def test_the_same_quality_at_a_fraction_of_the_rate():
    rates, quality = ANCHOR
    assert bd_rate(rates, quality, np.multiply(rates, 0.7), quality) == pytest.approx(-30.0)
    assert bd_rate(rates, quality, np.multiply(rates, 1.25), quality) == pytest.approx(25.0)


def test_exchanging_the_curves_inverts_the_ratio():
    forth, back = bd_rate(*ANCHOR, *OTHER), bd_rate(*OTHER, *ANCHOR)
    assert (1 + forth / 100) * (1 + back / 100) == pytest.approx(1.0)


def test_order_of_the_points_does_not_matter():
    shuffled = [[values[i] for i in (2, 0, 3, 1)] for values in OTHER]
    assert bd_rate(*ANCHOR, *shuffled) == pytest.approx(bd_rate(*ANCHOR, *OTHER))


def test_curves_that_share_no_quality_have_no_delta():
    assert math.isnan(bd_rate([1, 2], [30, 31], [1, 2], [32, 33]))


@pytest.mark.parametrize(
    ("rates", "quality"),
    [([1.0], [30.0]), ([1.0, 2.0], [30.0]), ([1.0, 2.0], [31.0, 30.0]), ([0.0, 2.0], [30.0, 31.0])],
)
def test_what_is_no_curve_is_refused(rates, quality):
    with pytest.raises(ValueError, match="found"):
        bd_rate(*ANCHOR, rates, quality)
