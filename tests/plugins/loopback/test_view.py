"""What is shown: redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import types

import pytest
from streamcodec_loopback.engine import QUIETEST_DB, LoopbackEngine
from streamcodec_loopback.loss import PacketLoss
from streamcodec_loopback.ring import SampleRing
from streamcodec_loopback.session import DelayMeter
from streamcodec_loopback.view import KEYS, LINE_SECONDS, METER_WIDTH, View, line, meter, screen

from tests.plugins.loopback.fakes import DelayCodec, noise


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def session():
    codec = DelayCodec()
    codec.bitrate, codec.complexity, codec.loss = 2000, 6, PacketLoss(5.0)
    codec.model_name = "a-model"
    engine = LoopbackEngine(codec, 16_000, 16_000)
    engine.push(noise(1.0), lambda: 0.03)
    delay = DelayMeter()
    delay.add(1.0, 1.234, True)
    return types.SimpleNamespace(
        engine=engine, codec=codec, source=SampleRing(16_000, 1.0), delay=delay,
        sink=SampleRing(16_000, 1.0), seconds=61.0, queued=0.05,
    )  # fmt: skip


def test_meters_go_from_the_floor_to_full_scale():
    assert meter(0.0).count("#") == METER_WIDTH
    assert meter(-30.0).count("#") == METER_WIDTH // 2
    assert meter(QUIETEST_DB).count("#") == 0
    assert "--" in meter(QUIETEST_DB)


def test_the_screen_says_what_the_session_does(session):
    text = "\n".join(screen(session, ("a microphone", "a speaker")))
    for part in ("1:01", "a-model", "a microphone", "a speaker", "2.00 kbit/s (asked 2)",
                 "loss 5 %", "complexity 6", "deadline misses 0", "234 ms measured",
                 "queue 50 ms", "underruns 0"):  # fmt: skip
        assert part in text
    session.engine.bypass = True
    assert "BYPASS" in screen(session, ("a", "b"))[0]
    assert "delay 234 ms" in line(session)


def test_a_terminal_is_redrawn_in_place(session, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    with View(stream, session, ("a", "b"), keys=True) as view:
        view.update()
        first = stream.getvalue()
        view.update()  # not due yet
        assert stream.getvalue() == first
        session.seconds += 1.0
        view.update()
    text = stream.getvalue()
    count = first.count("\n")
    assert f"\x1b[{count}A" in text[len(first) :]
    assert KEYS[:50] in first
    assert all(len(part.replace("\x1b[2K", "")) < 70 for part in first.split("\n"))
    assert text.startswith("\x1b[?25l")
    assert text.endswith("\x1b[?25h")


def test_a_log_gets_a_plain_line_now_and_then(session):
    stream = io.StringIO()
    with View(stream, session, ("a", "b"), keys=False) as view:
        for _ in range(100):
            view.update()
            session.seconds += LINE_SECONDS / 20
    assert len(stream.getvalue().splitlines()) == 5
    assert "\x1b" not in stream.getvalue()
