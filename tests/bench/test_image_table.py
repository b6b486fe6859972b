import math

import pytest
from PIL import Image

from bench.image_measure import PictureResult
from bench.image_plot import draw
from bench.image_table import (
    curves,
    decibels,
    delta_rates,
    render_deltas,
    render_rates,
    rows_by_rate,
)


def result(codec, rate, psnr, ms_ssim, bits, picture="one"):
    values = {"pixels": 1000.0, "psnr_rgb": psnr, "ms_ssim_rgb": ms_ssim}
    values |= {"psnr_luma": psnr + 1.0, "ms_ssim_luma": ms_ssim, "encode_wall": 3.0}
    values |= {"decode_wall": 4.0}
    return PictureResult(codec, picture, 0.0, bits, 1.0, 2.0, values, rate=rate)


# The second spends 20 % more for the same quality.
RESULTS = [
    result(codec, rate, psnr, ms_ssim, round(1000 * rate * factor))
    for codec, factor in (("thrifty", 1.0), ("costly", 1.2))
    for rate, psnr, ms_ssim in ((0.25, 30.0, 0.9), (0.5, 33.0, 0.95), (1.0, 36.0, 0.98))
]
FAILED = PictureResult("failing", "one", 0.0, errors=["ValueError: no"], rate=0.25)


def test_rates_apart_and_codecs_in_their_order():
    tables = rows_by_rate([*RESULTS, FAILED])
    assert list(tables) == [0.25, 0.5, 1.0]
    assert [row.codec for row in tables[0.25]] == ["thrifty", "costly", "failing"]
    assert tables[0.5][1].estimates["bpp"].value == pytest.approx(0.6)
    assert tables[0.25][2].failures == 1


def test_rate_is_all_bits_over_all_pixels_and_quality_a_mean():
    large = result("x", 1.0, 40.0, 0.99, 9000)
    large.values["pixels"] = 3000.0
    (row,) = rows_by_rate([result("x", 1.0, 30.0, 0.9, 1000), large])[1.0]
    assert row.estimates["bpp"].value == pytest.approx(2.5)
    assert row.estimates["psnr_rgb"].value == pytest.approx(35.0)


def test_delta_rates_on_all_qualities():
    deltas = delta_rates(rows_by_rate(RESULTS), "thrifty")
    assert deltas["costly"] == pytest.approx(dict.fromkeys(deltas["costly"], 20.0))
    assert deltas["thrifty"] == pytest.approx(dict.fromkeys(deltas["thrifty"], 0.0))


def test_codecs_without_a_curve_have_no_delta():
    worse = [result("falling", r.rate, 70.0 - r.values["psnr_rgb"], 0.5, r.bits) for r in RESULTS]
    tables = rows_by_rate([*RESULTS, *worse, result("single", 0.25, 30.0, 0.9, 200)])
    deltas = delta_rates(tables, "thrifty")
    assert math.isnan(deltas["falling"]["psnr_rgb"])
    assert math.isnan(deltas["single"]["psnr_rgb"])


def test_an_anchor_that_was_not_measured_is_refused():
    with pytest.raises(ValueError, match="'bpg' was not measured; found thrifty, costly"):
        delta_rates(rows_by_rate(RESULTS), "bpg")


def test_ms_ssim_is_compared_in_decibels():
    assert decibels("ms_ssim_rgb", 0.95) == pytest.approx(13.0103, abs=1e-4)
    assert decibels("psnr_rgb", 31.0) == 31.0
    assert decibels("ms_ssim_luma", 1.0) == math.inf


def test_curves_rise_in_rate():
    line = curves(rows_by_rate(list(reversed(RESULTS))), "psnr_rgb")["thrifty"]
    assert line == [(0.25, 30.0), (0.5, 33.0), (1.0, 36.0)]


def test_markdown():
    text = render_rates(rows_by_rate([*RESULTS, FAILED]))
    assert text.count("### Each picture set to ") == 3
    line = next(line for line in text.splitlines() if "costly" in line)
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:6] == ["costly", "0.300", "30.00", "0.9000", "31.00", "0.9000"]
    assert cells[6:] == ["1.000", "3.000", "2.000", "4.000"]
    table = render_deltas(delta_rates(rows_by_rate(RESULTS), "costly"), "costly")
    assert table.splitlines()[4] == "| thrifty | -16.7 | -16.7 | -16.7 | -16.7 |"
    assert table.splitlines()[5] == "| costly | +0.0 | +0.0 | +0.0 | +0.0 |"


def test_plot_is_a_picture_with_ink(tmp_path):
    path = tmp_path / "new" / "curves.png"
    draw(rows_by_rate(RESULTS), path, "two codecs")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 1000
        first = image.convert("RGB").tobytes()
    draw(rows_by_rate(RESULTS[:3]), path, "two codecs")
    with Image.open(path) as image:
        assert image.convert("RGB").tobytes() != first
