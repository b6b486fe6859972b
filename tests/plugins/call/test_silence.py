"""Discontinuous transmission."""

from __future__ import annotations

import numpy as np
import pytest
from streamcodec_call.silence import THRESHOLD_DB, SilenceGate, level_db

LOUD = np.full(1280, 0.1, np.float32)
QUIET = np.full(1280, 1e-4, np.float32)


def test_level_is_in_decibels_under_full_scale():
    assert level_db(LOUD) == pytest.approx(-20.0, abs=1e-3)
    assert level_db(np.ones(5)) == 0.0
    assert level_db(np.zeros(5)) == -127.0
    assert level_db(np.zeros(0)) == -127.0


def test_pauses_between_words_are_sent():
    gate = SilenceGate()
    assert all(gate.push(block, 0.08) for block in [LOUD, *[QUIET] * 5, LOUD])


def test_long_silence_is_announced_once_and_then_now_and_then():
    gate = SilenceGate()
    gate.push(LOUD, 0.08)
    answers = [gate.push(QUIET, 0.08) for _ in range(5 + 1 + 30)]
    assert answers[:5] == [True] * 5
    assert answers[5] is None
    assert answers[6:].count(None) == 1
    assert True not in answers[6:]


def test_speech_opens_at_once():
    gate = SilenceGate()
    assert gate.push(QUIET, 0.08) is False
    assert gate.push(LOUD, 0.08) is True


def test_mute_closes_at_once():
    gate = SilenceGate()
    gate.push(LOUD, 0.08)
    assert gate.push(LOUD, 0.08, muted=True) is None
    assert gate.push(LOUD, 0.08, muted=True) is False
    assert gate.push(LOUD, 0.08) is True


def test_a_word_that_begins_at_a_blocks_end_is_sent_with_it():
    block = np.zeros(1280, np.float32)
    block[-160:] = 0.005  # -46 dB, and -55 dB over the whole block
    assert level_db(block) < THRESHOLD_DB
    assert SilenceGate().push(block, 0.08) is True
