import math
import tracemalloc

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.errors import InputError
from streamcodec.speech.geometry import SAMPLE_RATE
from streamcodec.speech.resample import MAX_CHANNELS, MAX_RATE, MIN_RATE, StreamingInput

RATES = [4_000, 8_000, 11_025, 16_001, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 384_000]
# From 16 kHz up the filter waits 4 ms, below that at most 8 ms.
DELAYS = {4_000: 128, 8_000: 128, 11_025: 92, 16_000: 0, 44_100: 63, 48_000: 64, 384_000: 64}


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tones(rate: int, n: int, frequencies: list[float]) -> np.ndarray:
    t = np.arange(n) / rate
    return 0.1 * sum(np.sin(2 * np.pi * f * t + f) for f in frequencies)


def convert(rate: int, samples: np.ndarray) -> np.ndarray:
    stream = StreamingInput(rate)
    return np.concatenate([stream.push(samples), stream.flush()])


@pytest.mark.parametrize("rate", RATES)
@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.sampled_from([0, 1, 17, 159, 509, 44_100]), min_size=1, max_size=8))
def test_output_does_not_depend_on_block_sizes(rate, sizes):
    samples = noise(sum(sizes))
    expected = convert(rate, samples)
    stream, parts, taken = StreamingInput(rate), [], 0
    for size in sizes:
        parts.append(stream.push(samples[taken : taken + size]))
        taken += size
        due = taken * SAMPLE_RATE // rate
        assert due - stream.delay <= sum(map(len, parts)) <= due + 1
    parts.append(stream.flush())
    result = np.concatenate(parts)
    assert result.dtype == np.float32
    assert len(result) == math.ceil(taken * SAMPLE_RATE / rate)
    assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("rate", "delay"), DELAYS.items())
def test_delay_is_true_to_the_sample(rate, delay):
    stream = StreamingInput(rate)
    assert stream.delay == delay
    given, worst = 0, 0
    for taken in range(1, 3 * rate // 100):
        given += len(stream.push(np.zeros(1, np.float32)))
        worst = max(worst, taken * SAMPLE_RATE // rate - given)
    assert worst == delay
    assert delay <= 0.008 * SAMPLE_RATE


@pytest.mark.parametrize("rate", RATES)
def test_tones_keep_their_place_and_level(rate):
    passed = [f for f in (100.0, 440.0, 1_300.0, 3_300.0, 5_000.0, 7_000.0) if f < 0.34 * rate]
    result = convert(rate, tones(rate, rate // 2, passed).astype(np.float32))
    expected = tones(SAMPLE_RATE, len(result), passed)
    # The first and last 10 ms see the silence around the recording. Elsewhere below -80 dB.
    np.testing.assert_allclose(result[160:-160], expected[160:-160], atol=len(passed) * 0.1e-4)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000, 384_000])
def test_what_16_khz_cannot_hold_is_removed(rate):
    for frequency in (8_100.0, 9_000.0, 10_500.0):
        result = convert(rate, tones(rate, rate // 4, [frequency]).astype(np.float32))
        assert np.max(np.abs(result[160:-160])) < 0.1 * 10 ** (-75 / 20)


def test_upsampling_leaves_no_images():
    result = convert(8_000, tones(8_000, 4_000, [3_000.0]).astype(np.float32))[400:-400]
    spectrum = np.abs(np.fft.rfft(result * np.hanning(len(result))))
    frequencies = np.fft.rfftfreq(len(result), 1 / SAMPLE_RATE)
    assert spectrum[frequencies > 4_000].max() < 1e-4 * spectrum.max()


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_agrees_with_soxr(rate, speech_like):
    source = soxr.resample(speech_like, SAMPLE_RATE, rate, quality="VHQ")
    if rate > SAMPLE_RATE:  # both pass 0 to 7 kHz whole; what lies above is left to the filters
        reference = soxr.resample(source, rate, SAMPLE_RATE, quality="VHQ")
        difference = convert(rate, source)[: len(reference)] - reference
        spectrum = np.fft.rfft(difference[: SAMPLE_RATE * 3])
        spectrum[np.fft.rfftfreq(SAMPLE_RATE * 3, 1 / SAMPLE_RATE) > 7_000] = 0
        difference = np.fft.irfft(spectrum)[200:-200]
    else:
        reference = soxr.resample(source, rate, SAMPLE_RATE, quality="VHQ")
        difference = convert(rate, source)[: len(reference)] - reference
    assert np.sqrt(np.mean(difference**2)) < 0.005 * np.sqrt(np.mean(reference**2))


def test_an_hour_does_not_drift():
    rate, seconds = 4_400, 3_600  # a low rate has the shortest filter; positions work alike
    stream = StreamingInput(rate)
    second = np.zeros(rate, np.float32)
    second[rate // 2] = 1.0
    received = 0
    for _ in range(seconds - 1):
        received += len(stream.push(second))
    last = np.concatenate([stream.push(second), stream.flush()])
    assert received + len(last) == seconds * SAMPLE_RATE
    click = received + int(np.argmax(np.abs(last)))
    assert abs(click - (seconds - 1 + (rate // 2) / rate) * SAMPLE_RATE) <= 1


def test_memory_does_not_grow():
    stream = StreamingInput(48_000)
    block = noise(48_000)
    for _ in range(3):
        stream.push(block)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(30):
        stream.push(block)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000


def test_16_khz_mono_is_the_identity_bit_for_bit():
    samples = noise(5_000)
    stream = StreamingInput()
    assert stream.push(samples[:17]).tobytes() == samples[:17].tobytes()
    assert stream.push(samples[17:]).tobytes() == samples[17:].tobytes()
    assert len(stream.flush()) == 0


@pytest.mark.parametrize(
    ("dtype", "full_scale"),
    [(np.int16, 1 << 15), (np.int32, 1 << 31), (">i2", 1 << 15), (np.float64, 1), (">f4", 1)],
)
def test_sample_formats(dtype, full_scale):
    wanted = np.array([-1.0, -0.5, 0.0, 0.25, 0.75], np.float32)
    result = StreamingInput().push((wanted.astype(np.float64) * full_scale).astype(dtype))
    np.testing.assert_array_equal(result, wanted)


def test_16_bit_samples_pass_whole():
    samples = np.array([-32_768, -1, 0, 1, 32_767], np.int16)
    result = StreamingInput().push(samples)
    np.testing.assert_array_equal(result * 32_768, samples)


@pytest.mark.parametrize("order", ["C", "F"])
def test_channels_are_mixed_by_their_mean(order):
    block = np.asarray(np.random.default_rng(1).uniform(-1, 1, (300, 9)), np.float32)
    result = StreamingInput(channels=9).push(np.asarray(block, order=order))
    np.testing.assert_allclose(result, block.mean(axis=1), atol=1e-7)
    one_by_one = StreamingInput(channels=9)
    rows = [one_by_one.push(block[i : i + 1]) for i in range(len(block))]
    assert np.concatenate(rows).tobytes() == result.tobytes()


def test_stereo_at_another_rate_is_the_mono_mix_at_that_rate():
    left, right = noise(9_600, 1), noise(9_600, 2)
    stream = StreamingInput(48_000, channels=2)
    stereo = np.concatenate([stream.push(np.stack([left, right], axis=1)), stream.flush()])
    mix = ((left.astype(np.float64) + right) / 2).astype(np.float32)
    assert stereo.tobytes() == convert(48_000, mix).tobytes()


def test_mono_may_come_as_a_column_or_a_list():
    samples = noise(10)
    np.testing.assert_array_equal(StreamingInput().push(samples[:, None]), samples)
    np.testing.assert_array_equal(StreamingInput().push([0.5, -0.5]), [0.5, -0.5])


@pytest.mark.parametrize("empty", [np.empty(0, np.float32), np.empty((0, 2), np.int16), []])
def test_empty_blocks_are_fine(empty):
    stream = StreamingInput(48_000, channels=2)
    result = stream.push(empty)
    assert result.shape == (0,)
    assert result.dtype == np.float32
    assert len(stream.flush()) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_by_their_place(value):
    stream = StreamingInput(SAMPLE_RATE)
    stream.push(np.zeros(1_000, np.float32))
    block = np.zeros(100, np.float32)
    block[[17, 50]] = value
    with pytest.raises(InputError, match=r"sample 17 of the block \(1017 of the stream\)"):
        stream.push(block)


def test_the_channel_of_a_bad_sample_is_named():
    block = np.zeros((100, 2))
    block[30, 1] = np.nan
    with pytest.raises(InputError, match=r"sample 30 .* channel 1"):
        StreamingInput(channels=2).push(block)


def test_floats_in_the_range_of_integers_are_refused():
    with pytest.raises(InputError, match="divide 16-bit values by 32768"):
        StreamingInput().push(np.array([0.0, 1.0, -250.0, 12_000.0], np.float32))


def test_a_hot_recording_is_taken_as_it_is():
    hot = np.array([1.3, -1.7], np.float32)
    np.testing.assert_array_equal(StreamingInput().push(hot), hot)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_refused_block_leaves_the_stream_as_it_was(rate):
    samples = noise(3_000)
    bad = samples[1_000:2_000].copy()
    bad[-1] = np.nan
    stream = StreamingInput(rate)
    parts = [stream.push(samples[:1_000])]
    for refused in (bad, np.zeros((5, 3), np.float32), np.zeros(5, np.uint8)):
        with pytest.raises(InputError):
            stream.push(refused)
    parts += [stream.push(samples[1_000:]), stream.flush()]
    assert np.concatenate(parts).tobytes() == convert(rate, samples).tobytes()


@pytest.mark.parametrize(
    "block", [np.zeros(4, np.uint8), np.zeros(4, np.int64), np.zeros(4, complex), ["a"], [None]]
)
def test_other_sample_formats_are_refused(block):
    with pytest.raises(InputError, match="expected float32, float64, int16 or int32"):
        StreamingInput().push(block)


@pytest.mark.parametrize(
    ("channels", "shape"), [(1, (4, 2)), (2, (4,)), (2, (2, 4)), (2, (1, 4, 2)), (1, ())]
)
def test_other_shapes_are_refused(channels, shape):
    with pytest.raises(InputError, match="expected a block of shape"):
        StreamingInput(channels=channels).push(np.zeros(shape, np.float32))


@pytest.mark.parametrize("rate", [0, -8_000, MIN_RATE - 1, MAX_RATE + 1, 44_100.5, "48000", None])
def test_other_rates_are_refused(rate):
    with pytest.raises(InputError, match="expected a sample rate"):
        StreamingInput(rate)


@pytest.mark.parametrize("channels", [0, -1, 1.5, MAX_CHANNELS + 1, "2"])
def test_other_channel_counts_are_refused(channels):
    with pytest.raises(InputError, match="channels"):
        StreamingInput(SAMPLE_RATE, channels)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_flush_and_reset_leave_a_new_stream(rate):
    samples = noise(2_000)
    expected = convert(rate, samples)
    stream = StreamingInput(rate)
    stream.push(noise(777, 9))
    stream.reset()
    for _ in range(2):
        again = np.concatenate([stream.push(samples), stream.flush()])
        assert again.tobytes() == expected.tobytes()
