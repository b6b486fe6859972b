import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.errors import InputError
from streamcodec.nn.spectrum import MelSpectrogram
from streamcodec.speech.frontend import MelFrontEnd, hann_window, offline_mel
from streamcodec.speech.geometry import (
    HOP_LENGTH,
    LOG_FLOOR,
    MEL_MEAN,
    MEL_STD,
    N_FFT,
    N_MELS,
    OVERLAP,
    SAMPLE_RATE,
)

# Of normalized log-mel values. The torch references compute spectra in float32, which shows most
# in bands near the floor, and torchaudio's filterbank is built in float32 too.
LIBROSA_TOLERANCE = 1e-5
TORCH_TOLERANCE = 3e-4


def normalized(mel: np.ndarray) -> np.ndarray:
    return (np.log(np.maximum(mel, LOG_FLOOR)) - MEL_MEAN) / MEL_STD


def padded(samples: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(OVERLAP, np.float32), samples])


block_sizes = st.lists(
    st.sampled_from([0, 1, 17, 159, 160, 161, 509, 640, 44_100]) | st.integers(0, 3000),
    min_size=1,
    max_size=20,
)


@settings(deadline=None, max_examples=50)
@given(sizes=block_sizes)
def test_streaming_equals_offline_bit_for_bit(sizes, speech_like, filterbank):
    samples = np.resize(speech_like, sum(sizes))
    front_end = MelFrontEnd(filterbank)
    parts, taken = [], 0
    for size in sizes:
        parts.append(front_end.push(samples[taken : taken + size]))
        taken += size
        assert sum(map(len, parts)) == taken // HOP_LENGTH
    streamed = np.concatenate(parts)
    assert streamed.dtype == np.float32
    assert streamed.tobytes() == offline_mel(samples, filterbank).tobytes()


def test_a_frame_does_not_see_later_samples(speech_like, filterbank):
    changed = speech_like.copy()
    changed[16_000:] = 0.5
    before, after = offline_mel(speech_like, filterbank), offline_mel(changed, filterbank)
    # Frame k ends with sample 160 k + 159.
    np.testing.assert_array_equal(before[:100], after[:100])
    assert not np.array_equal(before[100], after[100])


def test_a_frame_sees_its_640_samples_and_no_earlier_ones(speech_like, filterbank):
    changed = speech_like.copy()
    changed[:16_000] = 0.5
    before, after = offline_mel(speech_like, filterbank), offline_mel(changed, filterbank)
    # Frame k begins with sample 160 k - 480.
    np.testing.assert_array_equal(before[103:], after[103:])
    assert not np.array_equal(before[102], after[102])


def test_agrees_with_librosa(speech_like, filterbank):
    mel = librosa.feature.melspectrogram(
        y=padded(speech_like), sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, center=False,
        power=1.0, n_mels=N_MELS,
    )  # fmt: skip
    ours = offline_mel(speech_like, filterbank)
    assert ours.shape == mel.T.shape
    np.testing.assert_allclose(ours, normalized(mel.T), atol=LIBROSA_TOLERANCE, rtol=0)


def test_agrees_with_torchaudio(speech_like, filterbank, torchaudio_transforms):
    transform = torchaudio_transforms.MelSpectrogram(
        SAMPLE_RATE, N_FFT, hop_length=HOP_LENGTH, center=False, power=1.0, n_mels=N_MELS,
        norm="slaney", mel_scale="slaney",
    )  # fmt: skip
    mel = transform(torch.from_numpy(padded(speech_like))).numpy()
    ours = offline_mel(speech_like, filterbank)
    np.testing.assert_allclose(ours, normalized(mel.T), atol=TORCH_TOLERANCE, rtol=0)


def test_agrees_with_the_network_side(speech_like, filterbank):
    module = MelSpectrogram(torch.from_numpy(filterbank), N_FFT, HOP_LENGTH, MEL_MEAN, MEL_STD)
    theirs = module(torch.from_numpy(speech_like)[None])[0].numpy()
    ours = offline_mel(speech_like, filterbank)
    np.testing.assert_allclose(ours, theirs, atol=TORCH_TOLERANCE, rtol=0)


def test_silence_is_the_floor_and_finite(filterbank):
    floor = np.float32((np.log(LOG_FLOOR) - MEL_MEAN) / MEL_STD)
    frames = offline_mel(np.zeros(3_200, np.float32), filterbank)
    np.testing.assert_array_equal(frames, np.full((20, N_MELS), floor))


def test_a_tone_lands_in_its_band(filterbank):
    tone = 0.5 * np.sin(2 * np.pi * 1_000.0 * np.arange(6_400) / SAMPLE_RATE)
    frames = offline_mel(tone.astype(np.float32), filterbank)
    centres = librosa.mel_frequencies(N_MELS + 2, fmin=0, fmax=SAMPLE_RATE / 2)[1:-1]
    assert np.argmax(frames[10]) == np.argmin(np.abs(centres - 1_000.0))


def test_reset_is_a_new_stream(speech_like, filterbank):
    front_end = MelFrontEnd(filterbank)
    front_end.push(speech_like[:12_345])
    front_end.reset()
    np.testing.assert_array_equal(front_end.push(speech_like), offline_mel(speech_like, filterbank))


def test_the_window_is_the_periodic_hann_window():
    np.testing.assert_allclose(
        hann_window(), torch.hann_window(N_FFT, dtype=torch.float64), atol=1e-15
    )


def test_a_band_without_bins_is_at_the_floor(filterbank):
    bank = filterbank.copy()
    bank[7] = 0.0
    frames = offline_mel(np.ones(1_600, np.float32), bank)
    np.testing.assert_array_equal(
        frames[:, 7], np.float32((np.log(LOG_FLOOR) - MEL_MEAN) / MEL_STD)
    )


def test_stereo_is_refused(filterbank):
    with pytest.raises(InputError, match="mix the channels"):
        MelFrontEnd(filterbank).push(np.zeros((10, 2), np.float32))


@pytest.mark.parametrize("bank", [np.ones((80, 257)), np.ones(321), np.full((80, 321), np.nan)])
def test_unusable_filterbanks_are_refused(bank):
    with pytest.raises(InputError, match="filterbank"):
        MelFrontEnd(bank.astype(np.float32))
