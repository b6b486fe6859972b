import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.errors import InputError
from streamcodec.speech.frontend import hann_window, offline_mel
from streamcodec.speech.geometry import (
    FRAMES_PER_LATENT,
    HOP_LENGTH,
    MEL_MEAN,
    MEL_STD,
    N_BINS,
    N_FFT,
    N_MELS,
    OVERLAP,
    SAMPLE_RATE,
    STEP_SAMPLES,
)
from streamcodec.speech.phase import StreamingPhase, offline_griffin_lim

# Spectral convergence, || |S| - |STFT(y)| || / || |S| ||, of 0.1 is 1 dB of error on every bin.
MARGIN = 0.03


def magnitudes(samples: np.ndarray) -> np.ndarray:
    padded = np.concatenate([np.zeros(OVERLAP), samples])
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    return np.abs(np.fft.rfft(windows * hann_window()))


def convergence(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(np.linalg.norm(wanted - found) / np.linalg.norm(wanted))


def mel_convergence(mel: np.ndarray, sound: np.ndarray, filterbank: np.ndarray) -> float:
    found = offline_mel(sound.astype(np.float32), filterbank)
    linear = [np.exp(frames.astype(np.float64) * MEL_STD + MEL_MEAN) for frames in (mel, found)]
    return convergence(*linear)


def streamed(mel: np.ndarray, stream: StreamingPhase) -> np.ndarray:
    return np.concatenate([stream.push(mel), stream.flush()])


@pytest.fixture(scope="module")
def mel(speech_like, filterbank):
    return offline_mel(speech_like, filterbank)


@pytest.fixture(scope="module")
def solved(mel, filterbank):
    """The magnitude spectra that belong to the mel frames, all found by the streaming side."""
    linear = np.exp(mel.astype(np.float64) * MEL_STD + MEL_MEAN)
    return StreamingPhase(filterbank)._solve_magnitude(linear)


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(0, 11), max_size=8))
def test_samples_do_not_depend_on_push_sizes(sizes, mel, filterbank):
    frames = mel[100 : 100 + sum(sizes)]
    expected = streamed(frames, StreamingPhase(filterbank))
    stream, parts, taken = StreamingPhase(filterbank), [], 0
    for size in sizes:
        parts.append(stream.push(frames[taken : taken + size]))
        taken += size
        final = taken // FRAMES_PER_LATENT * STEP_SAMPLES - OVERLAP
        assert sum(map(len, parts)) == max(0, final)
    parts.append(stream.flush())
    sound = np.concatenate(parts)
    assert sound.dtype == np.float32
    assert len(sound) == HOP_LENGTH * taken
    assert sound.tobytes() == expected.tobytes()


def test_samples_do_not_depend_on_later_frames(mel, filterbank):
    changed = mel.copy()
    changed[40:] = -1.0
    final = 40 * HOP_LENGTH - OVERLAP
    before = StreamingPhase(filterbank).push(mel)
    after = StreamingPhase(filterbank).push(changed)
    np.testing.assert_array_equal(before[:final], after[:final])
    assert not np.array_equal(before[final : final + 640], after[final : final + 640])


def test_the_solved_magnitude_has_the_bands_of_the_mel_frames(mel, solved, filterbank):
    linear = np.exp(mel.astype(np.float64) * MEL_STD + MEL_MEAN)
    assert solved.min() >= 0.0
    assert convergence(linear, solved @ filterbank.T) < 0.05


def test_griffin_lim_proper_is_as_consistent_as_librosas_offline(mel, solved, filterbank):
    # With mel_weight 0 the wanted magnitude is fixed: the very problem that librosa solves.
    ours = streamed(mel, StreamingPhase(filterbank, mel_weight=0.0))
    theirs = offline_griffin_lim(solved)
    assert len(ours) == len(theirs)
    offline = convergence(solved, magnitudes(theirs))
    assert convergence(solved, magnitudes(ours)) < offline + MARGIN


def test_griffin_lim_proper_is_as_consistent_as_torchaudios_offline(
    mel, solved, filterbank, torchaudio_transforms
):
    transform = torchaudio_transforms.GriffinLim(
        n_fft=N_FFT, hop_length=HOP_LENGTH, power=1.0, n_iter=32
    )
    # torchaudio's frames are centred: its first stands half a window after the start of ours.
    torch.manual_seed(0)
    theirs = transform(torch.from_numpy(solved.T.astype(np.float32))).numpy()
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(theirs, N_FFT // 2, mode="reflect"), N_FFT
    )[::HOP_LENGTH]
    offline = convergence(solved, np.abs(np.fft.rfft(windows * hann_window())))
    ours = streamed(mel, StreamingPhase(filterbank, mel_weight=0.0))
    assert convergence(solved, magnitudes(ours)) < offline + MARGIN


def test_the_default_fits_the_mel_frames_better_than_offline_griffin_lim(mel, solved, filterbank):
    ours = mel_convergence(mel, streamed(mel, StreamingPhase(filterbank)), filterbank)
    theirs = mel_convergence(mel, offline_griffin_lim(solved), filterbank)
    assert ours < theirs
    assert ours < 0.1


def test_iterations_pay(mel, filterbank):
    errors = [
        mel_convergence(mel, streamed(mel, StreamingPhase(filterbank, iterations=n)), filterbank)
        for n in (0, 4, 24)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_a_tone_keeps_its_frequency(filterbank):
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = (0.3 * np.sin(2 * np.pi * 440.0 * t)).astype(np.float32)
    sound = streamed(offline_mel(tone, filterbank), StreamingPhase(filterbank))[3_200:-3_200]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17))
    assert np.argmax(spectrum) * SAMPLE_RATE / (1 << 17) == pytest.approx(440.0, abs=12.5)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)


def test_silence_stays_silent(filterbank):
    mel = offline_mel(np.zeros(6_400, np.float32), filterbank)
    assert np.abs(streamed(mel, StreamingPhase(filterbank))).max() < 1e-3


def test_sound_comes_out_of_silence(mel, filterbank):
    silence = offline_mel(np.zeros(3_200, np.float32), filterbank)
    sound = streamed(np.concatenate([silence, mel[:40]]), StreamingPhase(filterbank))
    # The offline sound of these frames has about the same energy.
    alone = streamed(mel[:40], StreamingPhase(filterbank))
    ratio = np.linalg.norm(sound[3_200:]) / np.linalg.norm(alone)
    assert 0.8 < ratio < 1.25


def test_values_no_sound_can_have_stay_finite(filterbank):
    frames = np.full((8, N_MELS), np.inf, np.float32)
    frames[4:] = -np.inf
    assert np.isfinite(streamed(frames, StreamingPhase(filterbank))).all()


def test_faster_than_a_third_of_real_time(mel, filterbank):
    stream = StreamingPhase(filterbank)
    start = time.process_time()
    stream.push(mel)
    spent = time.process_time() - start
    assert spent < 0.3 * len(mel) * HOP_LENGTH / SAMPLE_RATE


def test_reset_and_flush_leave_a_new_stream(mel, filterbank):
    frames = mel[100:150]
    expected = streamed(frames, StreamingPhase(filterbank))
    stream = StreamingPhase(filterbank)
    stream.push(mel[:33])
    stream.reset()
    for _ in range(2):
        assert streamed(frames, stream).tobytes() == expected.tobytes()


def test_nan_is_refused_and_changes_nothing(mel, filterbank):
    frames = mel[100:120]
    bad = frames.copy()
    bad[3, 3] = np.nan
    stream = StreamingPhase(filterbank)
    first = stream.push(frames[:10])
    with pytest.raises(InputError, match="NaN"):
        stream.push(bad)
    sound = np.concatenate([first, stream.push(frames[10:]), stream.flush()])
    assert sound.tobytes() == streamed(frames, StreamingPhase(filterbank)).tobytes()


@pytest.mark.parametrize("shape", [(N_MELS,), (4, N_MELS + 1), (1, 4, N_MELS)])
def test_other_shapes_are_refused(shape, filterbank):
    with pytest.raises(InputError, match="expected mel frames of shape"):
        StreamingPhase(filterbank).push(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    "bank", [np.ones((80, 257)), np.ones(N_BINS), -np.ones((80, N_BINS)), np.ones((0, N_BINS))]
)
def test_unusable_filterbanks_are_refused(bank):
    with pytest.raises(InputError, match="filterbank"):
        StreamingPhase(bank.astype(np.float32))


@pytest.mark.parametrize("settings", [{"iterations": -1}, {"mel_weight": 1.5}])
def test_settings_out_of_range_are_refused(settings, filterbank):
    with pytest.raises(InputError, match="expected iterations"):
        StreamingPhase(filterbank, **settings)


def test_a_proposal_is_where_the_search_starts(
    speech_like: np.ndarray, filterbank: np.ndarray
) -> None:
    bank = filterbank
    frames = offline_mel(speech_like, bank)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([np.zeros(480, np.float32), speech_like]), 640
    )[::160]
    hann = np.sin(np.pi * np.arange(640) / 640) ** 2
    true = np.fft.rfft(windows * hann).astype(np.complex64)[: len(frames)]
    frames = frames[: len(true)]
    started = StreamingPhase(bank, iterations=0)
    sound = np.concatenate([started.push(frames, true), started.flush()])
    n = min(len(sound), len(speech_like)) - 640
    np.testing.assert_allclose(sound[:n], speech_like[:n], atol=2e-3)
    # Pieces of any size give the same sound.
    pieces = StreamingPhase(bank, mel_weight=1.0)
    whole = StreamingPhase(bank, mel_weight=1.0)
    parts = [pieces.push(frames[a : a + 7], true[a : a + 7]) for a in range(0, len(frames), 7)]
    assert np.array_equal(np.concatenate(parts), whole.push(frames, true))


def test_a_proposal_of_another_shape_is_refused(filterbank: np.ndarray) -> None:
    phase = StreamingPhase(filterbank)
    frames = np.zeros((5, 80), np.float32)
    with pytest.raises(InputError, match="proposal"):
        phase.push(frames, np.zeros((4, 321), np.complex64))
    phase.push(frames)
    with pytest.raises(InputError, match="every push"):
        phase.push(frames, np.zeros((5, 321), np.complex64))
