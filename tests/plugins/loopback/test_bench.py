"""The measurement of the loopback: right on signals whose answer is known."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest

from bench import loopback, virtual_sound
from tests.signals import real_speech


@pytest.mark.parametrize("delay", [0.18, 0.43])
def test_delay_and_quality_of_a_known_pair(delay):
    said = real_speech(6.7)
    lead = 0.3
    heard = np.concatenate([np.zeros(round((lead + delay) * 16_000)), 0.8 * said, np.zeros(16_000)])
    result = loopback.Heard(said, heard.astype(np.float32), lead, {}, 0.0, 0.0)
    figures = loopback.score(result)
    assert figures["delay_ms"] == pytest.approx(1e3 * delay, abs=3.0)
    assert figures["correlation"] > 0.99
    assert figures["pesq_wb"] > 4.4


def test_noise_is_not_taken_for_the_voice():
    said = real_speech(6.7)
    noise = np.random.default_rng(1).normal(0, 0.1, 9 * 16_000).astype(np.float32)
    assert loopback.score(loopback.Heard(said, noise, 0.3, {}, 0.0, 0.0)) == {}


def test_a_core_is_kept_busy_and_let_go(monkeypatch):
    started = []

    class Watched(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(loopback.subprocess, "Popen", Watched)
    core = min(os.sched_getaffinity(0))
    with loopback.busy(core):
        (burner,) = started
        assert burner.poll() is None
        assert os.sched_getaffinity(burner.pid) == {core}
    assert burner.poll() is not None
    with loopback.busy(None):
        assert len(started) == 1


def test_what_the_card_lacks_is_named_with_its_packages(monkeypatch):
    monkeypatch.setattr(virtual_sound.shutil, "which", lambda program: None)
    with pytest.raises(virtual_sound.VirtualSoundError, match=r"parec.*install: pulseaudio"):
        virtual_sound.require_programs()
