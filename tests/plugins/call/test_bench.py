"""The measurements of calls: right on signals whose answer is known, and able to run."""

from __future__ import annotations

import argparse
import asyncio
import os

import numpy as np
import pytest
from streamcodec_call.server import CallServer, ServerSettings

from bench import call_delay, call_relay
from tests.signals import real_speech


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.431])
def test_a_known_delay_is_found(delay):
    said = real_speech(8.0)
    lead = 0.5
    heard = np.concatenate(
        [np.zeros(round((lead + delay) * 16_000)), 0.7 * said, np.zeros(32_000)]
    ).astype(np.float32)
    found = call_delay.delays(said, heard, lead)
    assert len(found) >= 3
    assert all(value == pytest.approx(delay, abs=0.003) for value, _ in found)


def test_noise_is_not_taken_for_the_recording():
    noise = np.random.default_rng(3).normal(0, 0.1, 12 * 16_000).astype(np.float32)
    assert call_delay.delays(real_speech(8.0), noise, 0.5) == []


def test_the_relay_is_measured():
    async def scene():
        async with CallServer(ServerSettings(port=0)) as server:
            options = argparse.Namespace(members=12, rooms=4, seconds=0.5)
            return await call_relay.measure(os.getpid(), server.port, options)

    figures = asyncio.run(asyncio.wait_for(scene(), 20.0))
    assert figures["members"] == 12
    assert figures["packets_delivered"] >= 4 * 2 * 4
    assert figures["packets_lost"] == 0
    assert 0 < figures["latency_ms_p50"] <= figures["latency_ms_p99"]
