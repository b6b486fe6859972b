"""Two real browsers and a native client in a room hear each other, through the real codec."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import permutations

import numpy as np
import pytest

from bench.call_browser import NAMES, compare, excerpt, hold
from bench.call_delay import MIN_SCORE
from bench.chromium import Recorded
from streamcodec.core.model_file import multiplies_bfloat16
from tests.signals import real_speech

RATE = 16_000
TURN_SECONDS = 5.0
CORRELATION = 0.65 if multiplies_bfloat16() else MIN_SCORE
"""Of level contours. Another's speech, or speech backwards, is nowhere recognised at all."""


def test_two_browsers_and_a_native_client_hear_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    party = asyncio.run(asyncio.wait_for(hold(TURN_SECONDS, tmp_path), 600.0))
    assert party.complaints == []
    ways = {(way.speaker, way.listener): way for way in party.ways()}
    assert set(ways) == set(permutations(NAMES, 2))
    for way in ways.values():
        # The bounds leave room for a loaded machine, and for one where three codecs together take
        # longer than speech lasts; the bench measures what it really is.
        assert way.correlation > CORRELATION, way
        assert 0.05 < way.delay < 1.0, way
    # The recordings differ, so nobody took one speaker for another.
    swapped = Recorded(party.said["bob"].sound, RATE, party.said["ann"].wall)
    found = compare("bob", "native", swapped, party.heard["native"])
    assert not found.correlation > ways["ann", "native"].correlation
    # What the native client got of three turns, two of them others', are codec packets,
    # each of them twice where frames come late.
    received = 8e-3 * party.figures["bytes_received"] / (2 * TURN_SECONDS)
    assert 0.5 < received < 6.0
    assert party.figures["malformed"] == party.figures["damaged"] == 0
    for name in NAMES[:2]:
        others = set(NAMES) - {name}
        assert f"{name} (you)" in party.shown[name]
        assert all(f"{other} is here." in party.shown[name] for other in others)
        assert "which compresses it for the others" in party.shown[name]


@pytest.mark.parametrize("delay", [0.08, 0.3])
def test_a_known_delay_and_a_perfect_copy_are_found(delay):
    speech = real_speech(4.0)
    lead = 1.0
    heard = np.concatenate(
        [np.zeros(round((lead + delay) * RATE)), speech, np.zeros(2 * RATE)]
    ).astype(np.float32)
    way = compare("a", "b", Recorded(speech, RATE, 100.0), Recorded(heard, RATE, 100.0 - lead))
    assert way.delay == pytest.approx(delay, abs=0.003)
    assert way.correlation > 0.99
    assert way.pesq > 4.0


@pytest.mark.parametrize("kind", ["noise", "backwards"])
def test_what_was_never_heard_has_no_delay(kind):
    sounds = {
        "noise": np.random.default_rng(1).normal(0, 0.1, 8 * RATE).astype(np.float32),
        "backwards": np.concatenate([real_speech(4.0)[::-1], np.zeros(4 * RATE, np.float32)]),
    }
    heard = Recorded(sounds[kind], RATE, 0.0)
    way = compare("a", "b", Recorded(real_speech(4.0), RATE, 1.0), heard)
    assert np.isnan(way.delay)


def test_excerpts_begin_where_they_should_and_are_padded():
    recorded = Recorded(np.arange(RATE, dtype=np.float32), RATE, 10.0)
    assert excerpt(recorded, 10.5, 0.25).sound[0] == RATE // 2
    early = excerpt(recorded, 9.75, 0.5).sound
    assert not early[: RATE // 4].any()
    assert early[RATE // 4 + 1] == 1
    assert len(excerpt(recorded, 10.9, 1.0).sound) == RATE
