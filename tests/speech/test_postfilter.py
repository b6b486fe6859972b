"""The decoder's contrast filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import streamcodec
from streamcodec.errors import InputError
from streamcodec.speech.geometry import MEL_STD, N_MELS
from streamcodec.speech.postfilter import DEFAULT_STRENGTH, ContrastFilter

FRAMES = torch.randn(12, N_MELS, generator=torch.Generator().manual_seed(0)) * 0.7


def level(frames):
    return torch.exp(MEL_STD * frames).square().sum(1).sqrt()


def test_level_stays_and_contrast_grows():
    filtered = ContrastFilter()(FRAMES)
    torch.testing.assert_close(level(filtered), level(FRAMES), rtol=1e-4, atol=0.0)
    grown = filtered.std(dim=1) / FRAMES.std(dim=1)
    assert grown.min() > 1.0 + 0.8 * DEFAULT_STRENGTH
    assert grown.max() < 1.0 + 1.05 * DEFAULT_STRENGTH


def test_peaks_stay_peaks_and_valleys_get_deeper():
    frame = torch.sin(torch.arange(N_MELS) / 2.0)[None]
    filtered = ContrastFilter()(frame)
    # Somewhere in the middle: a peak at band 41 and the valleys beside it.
    peak, valleys = 41, (35, 47)
    assert filtered[0, 36:47].argmax() == frame[0, 36:47].argmax() == peak - 36
    for valley in valleys:
        stretched = (filtered[0, peak] - filtered[0, valley]) / (frame[0, peak] - frame[0, valley])
        assert float(stretched) == pytest.approx(1 + DEFAULT_STRENGTH, abs=0.02)


def test_what_is_flat_stays_as_it_is():
    flat = torch.full((3, N_MELS), -1.3)
    torch.testing.assert_close(ContrastFilter()(flat), flat, rtol=0.0, atol=1e-5)


def test_a_louder_frame_is_filtered_alike():
    filtered = ContrastFilter()
    torch.testing.assert_close(filtered(FRAMES + 0.5), filtered(FRAMES) + 0.5, rtol=0, atol=1e-5)


def test_frames_are_filtered_each_by_itself():
    filtered = ContrastFilter()
    alone = torch.cat([filtered(frame[None]) for frame in FRAMES])
    torch.testing.assert_close(filtered(FRAMES), alone, rtol=0.0, atol=1e-5)


def test_no_strength_is_no_filter():
    assert ContrastFilter(0.0)(FRAMES) is FRAMES


def test_the_decoder_takes_its_strength_and_refuses_nonsense():
    time = np.arange(16_000) / 16_000
    sound = (0.3 * np.sin(2 * np.pi * 180 * time) * np.sin(9 * time)).astype(np.float32)
    encoder = streamcodec.SpeechEncoder(complexity=0)
    packets = [*encoder.push(sound), *encoder.flush()]
    sounds = []
    for strength in (0.0, 0.5):
        decoder = streamcodec.SpeechDecoder(encoder.header, postfilter=strength)
        sounds.append(np.concatenate([decoder.push(p) for p in packets]))
    assert np.abs(sounds[0] - sounds[1]).max() > 1e-3
    for strength in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="postfilter"):
            streamcodec.SpeechDecoder(postfilter=strength)
