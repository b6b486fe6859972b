import math

import pytest

from bench.measure import ClipResult
from bench.table import estimate, render, summarise


def result(codec, bits, seconds=2.0, errors=(), **values):
    return ClipResult(codec, "clip", seconds, bits, 0.5, 0.25, values, list(errors))


RESULTS = [
    result("fine", 8000, pesq_nb_raw=3.0, phone_errors=1.0, reference_phones=10.0),
    result("fine", 4000, 1.0, pesq_nb_raw=4.0, phone_errors=9.0, reference_phones=30.0),
    result("coarse", 2000, pesq_nb_raw=2.0),
    result("coarse", 2000, pesq_nb_raw=math.nan),
]


def test_rows_are_sorted_by_rate_and_ratios_are_of_sums():
    coarse, fine = summarise(RESULTS)
    assert (coarse.codec, fine.codec) == ("coarse", "fine")
    assert fine.estimates["kbps"].value == pytest.approx(4.0)
    assert fine.estimates["pesq_nb_raw"].value == pytest.approx(3.5)
    assert fine.estimates["per"].value == pytest.approx(25.0)
    assert fine.estimates["encode_rtf"].value == pytest.approx(1.0 / 3.0)


def test_clips_without_a_value_are_left_out_of_its_mean():
    coarse, _ = summarise(RESULTS)
    assert coarse.estimates["pesq_nb_raw"].value == pytest.approx(2.0)
    assert coarse.estimates["pesq_nb_raw"].clips == 1
    assert "per" not in coarse.estimates


def test_failures_are_counted():
    (row,) = summarise([result("x", 100), result("x", 0, errors=["RuntimeError: no"])])
    assert (row.clips, row.failures) == (2, 1)
    (row,) = summarise([result("y", 0, errors=["RuntimeError: no"])])
    assert row.estimates == {}


def test_interval_is_that_of_the_mean_and_the_same_every_time():
    values = [1.0, 2.0, 3.0, 4.0] * 25
    first, second = (estimate(values, [1.0] * 100) for _ in range(2))
    assert first == second
    assert first.value == pytest.approx(2.5)
    # Standard error 1.118 / sqrt(100), times 1.96.
    assert first.margin == pytest.approx(0.219, abs=0.03)
    assert first.low < 2.5 < first.high


def test_table_as_text():
    assert render(summarise(RESULTS), intervals=False) == (
        "codec   kbit/s  PESQ-NB raw  PER %  enc RTF  dec RTF\n"
        "coarse    1.00         2.00      –    0.250    0.125\n"
        "fine      4.00         3.50   25.0    0.333    0.167"
    )


def test_table_as_markdown_with_intervals():
    lines = render(summarise(RESULTS), markdown=True).splitlines()
    assert lines[0].startswith("| codec  | kbit/s | PESQ-NB raw |")
    assert lines[1].startswith("| ------ | -----: | ----------: |")
    assert lines[3].startswith("| fine   |   4.00 |   3.50±0.50 |")
    assert len({len(line) for line in lines}) == 1
