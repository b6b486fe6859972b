"""Settings that cannot be are refused before anything is opened."""

from __future__ import annotations

import pytest
from streamcodec_loopback.settings import LoopbackSettings

import streamcodec
from streamcodec.errors import InputError


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0.0},
        {"seconds": float("nan")},
        {"seed": -1},
        {"rate": 100},
        {"rate": 10**9},
        {"device_latency": 0.0},
        {"device_latency": float("nan")},
    ],
)
def test_out_of_range(wrong):
    with pytest.raises(InputError, match="expected"):
        LoopbackSettings(**wrong)


@pytest.mark.parametrize("low_delay", [False, True])
def test_packets_are_as_long_as_the_codec_says(low_delay):
    encoder = streamcodec.SpeechEncoder(complexity=0, low_delay=low_delay)
    settings = LoopbackSettings(low_delay=low_delay)
    assert settings.packet_seconds == encoder.frame_size / encoder.sample_rate
