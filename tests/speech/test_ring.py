import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcodec.errors import InputError
from streamcodec.speech.ring import RingBuffer


def offline_windows(
    samples: np.ndarray, window_length: int, hop_length: int, lead_in: int
) -> np.ndarray:
    padded = np.concatenate([np.zeros(lead_in, np.float32), samples])
    starts = range(0, len(padded) - window_length + 1, hop_length)
    return np.array([padded[s : s + window_length] for s in starts]).reshape(-1, window_length)


def numbered(n: int) -> np.ndarray:
    return np.arange(1, n + 1, dtype=np.float32)


@given(
    window_length=st.integers(1, 40),
    hop_fraction=st.floats(0, 1),
    lead_fraction=st.floats(0, 0.999),
    sizes=st.lists(st.sampled_from([0, 1, 2, 3, 17, 40, 81, 509]), max_size=12),
)
def test_windows_do_not_depend_on_block_sizes(window_length, hop_fraction, lead_fraction, sizes):
    hop_length = max(1, round(hop_fraction * window_length))
    lead_in = int(lead_fraction * window_length)
    samples = numbered(sum(sizes))
    ring = RingBuffer(window_length, hop_length, lead_in)
    windows = []
    for block in np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []:
        windows += [w.copy() for w in ring.windows(block)]
    expected = offline_windows(samples, window_length, hop_length, lead_in)
    np.testing.assert_array_equal(np.array(windows).reshape(-1, window_length), expected)


def test_a_block_far_longer_than_the_buffer_is_taken_in_pieces():
    ring = RingBuffer(640, 160, 480)
    samples = numbered(100_000)
    memory = ring._samples.nbytes
    windows = [w.copy() for w in ring.windows(samples)]
    np.testing.assert_array_equal(windows, offline_windows(samples, 640, 160, 480))
    assert ring._samples.nbytes == memory
    assert ring.held < 640


def test_write_takes_no_more_than_there_is_room_for():
    ring = RingBuffer(10, 5)
    assert ring.write(numbered(100)) == ring.capacity == ring.held
    assert ring.write(numbered(1)) == 0
    np.testing.assert_array_equal(ring.read(), numbered(10))
    assert ring.write(numbered(100)) == 5


def test_no_window_before_it_is_complete():
    ring = RingBuffer(10, 5, lead_in=4)
    ring.write(numbered(5))
    assert ring.read() is None
    ring.write(numbered(1))
    np.testing.assert_array_equal(ring.read(), [0, 0, 0, 0, 1, 2, 3, 4, 5, 1])


def test_a_window_cannot_be_written_to():
    ring = RingBuffer(4, 2)
    ring.write(numbered(4))
    window = ring.read()
    with pytest.raises(ValueError, match="read-only"):
        window[0] = 7.0
    ring.write(numbered(2))  # the buffer itself still can


def test_reset_forgets_everything():
    ring = RingBuffer(8, 3, lead_in=7)
    list(ring.windows(numbered(50)))
    ring.reset()
    assert ring.held == 7
    np.testing.assert_array_equal(next(ring.windows(numbered(1))), [0, 0, 0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize(
    ("window_length", "hop_length", "lead_in"),
    [(0, 1, 0), (4, 0, 0), (4, 5, 0), (4, 2, 4), (4, 2, -1)],
)
def test_lengths_out_of_range_are_refused(window_length, hop_length, lead_in):
    with pytest.raises(InputError, match="expected"):
        RingBuffer(window_length, hop_length, lead_in)
