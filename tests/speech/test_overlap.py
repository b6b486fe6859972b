import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.errors import InputError
from streamcodec.nn.spectrum import inverse_stft
from streamcodec.speech.frontend import hann_window
from streamcodec.speech.geometry import HOP_LENGTH, N_BINS, N_FFT, OVERLAP
from streamcodec.speech.overlap import OverlapAdd


def spectra_of(samples: np.ndarray) -> np.ndarray:
    padded = np.concatenate([np.zeros(OVERLAP, np.float32), samples])
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    return np.fft.rfft(windows * hann_window()).astype(np.complex64)


def random_spectra(frames: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((2, frames, N_BINS)).astype(np.float32)
    return parts[0] + 1j * parts[1]


def test_analysis_then_synthesis_gives_the_sound_back(speech_like):
    stream = OverlapAdd()
    sound = stream.push(spectra_of(speech_like))
    assert len(sound) == len(speech_like) - OVERLAP
    np.testing.assert_allclose(sound, speech_like[: len(sound)], atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(0, 9), max_size=12), seed=st.integers(0, 99))
def test_samples_do_not_depend_on_push_sizes(sizes, seed):
    spectra = random_spectra(sum(sizes), seed)
    whole = OverlapAdd()
    expected = np.concatenate([whole.push(spectra), whole.flush()])
    stream, parts, taken = OverlapAdd(), [], 0
    for size in sizes:
        parts.append(stream.push(spectra[taken : taken + size]))
        taken += size
        assert sum(map(len, parts)) == max(0, HOP_LENGTH * taken - OVERLAP)
    parts.append(stream.flush())
    sound = np.concatenate(parts)
    assert sound.dtype == np.float32
    assert len(sound) == HOP_LENGTH * taken
    assert sound.tobytes() == expected.tobytes()


def test_agrees_with_the_network_side():
    spectra = random_spectra(23, 1)
    theirs = inverse_stft(torch.from_numpy(spectra)[None], N_FFT, HOP_LENGTH)[0].numpy()
    np.testing.assert_allclose(OverlapAdd().push(spectra), theirs, atol=1e-6)


def test_agrees_with_librosa():
    spectra = random_spectra(23, 2)
    theirs = librosa.istft(spectra.T, hop_length=HOP_LENGTH, n_fft=N_FFT, center=False)
    ours = OverlapAdd().push(spectra)
    np.testing.assert_allclose(ours, theirs[OVERLAP : OVERLAP + len(ours)], atol=1e-6)


@pytest.mark.filterwarnings("ignore:NOLA")  # the edges, which are not compared
def test_agrees_with_scipy():
    spectra = random_spectra(23, 3)
    window = hann_window()
    _, theirs = scipy.signal.istft(
        spectra.T / window.sum(), window=window, noverlap=OVERLAP, boundary=False
    )
    ours = OverlapAdd().push(spectra)
    np.testing.assert_allclose(ours, theirs[OVERLAP : OVERLAP + len(ours)], atol=1e-6)


def test_the_tail_fades_out():
    ones = np.ones(HOP_LENGTH * 10, np.float32)
    stream = OverlapAdd()
    stream.push(spectra_of(ones))
    tail = stream.flush()
    assert len(tail) == OVERLAP
    assert np.all(np.diff(tail) <= 1e-6)
    assert tail[0] == pytest.approx(1.0, abs=1e-4)
    assert tail[-1] == pytest.approx(0.0, abs=1e-4)


def test_reset_and_flush_leave_a_new_stream():
    spectra = random_spectra(9, 4)
    expected = OverlapAdd().push(spectra)
    stream = OverlapAdd()
    stream.push(random_spectra(5, 5))
    stream.reset()
    np.testing.assert_array_equal(stream.push(spectra), expected)
    stream.flush()
    np.testing.assert_array_equal(stream.push(spectra), expected)


def test_an_empty_stream_has_no_tail():
    assert len(OverlapAdd().flush()) == 0


@pytest.mark.parametrize("shape", [(N_BINS,), (2, 257), (1, 2, N_BINS)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="expected spectra of shape"):
        OverlapAdd().push(np.zeros(shape, np.complex64))
