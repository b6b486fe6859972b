"""The bench of calls that lose packets: the proxy on real sockets, finding clips, the table."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from bench import call_live_loss
from bench.call_live_loss import Heard, LossyProxy, Result, render, score, track
from bench.clips import Clip
from tests.signals import real_speech

RATE = 16_000
CLIPS = [Clip("one", real_speech(3.0)), Clip("two", real_speech(4.0)[::-1].copy())]
FIGURES = {"concealed": 5, "packets_played": 95}


def through_proxy(lost, frames):
    """What comes of numbered frames and words, and the proxy's counts."""

    async def relay(connection):
        hello = await connection.recv()
        for n in range(frames):
            await connection.send(bytes([n]))
            if n % 10 == 0:
                await connection.send(f"{hello} {n}")
        await connection.close()

    async def scene():
        async with serve(relay, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with LossyProxy(url, lost) as proxy, connect(proxy.url) as listener:
                await listener.send("hi")
                return [data async for data in listener], proxy.frames, proxy.dropped

    return asyncio.run(asyncio.wait_for(scene(), 20.0))


def test_the_proxy_drops_the_drawn_frames_and_no_words():
    lost = np.arange(50) % 7 == 3
    came, frames, dropped = through_proxy(lost, 50)
    assert (frames, dropped) == (50, int(lost.sum()))
    assert [d[0] for d in came if isinstance(d, bytes)] == list(np.flatnonzero(~lost))
    assert [d for d in came if isinstance(d, str)] == [f"hi {n}" for n in range(0, 50, 10)]


def test_clips_are_found_where_they_were_heard():
    sound, starts = track(CLIPS)
    assert starts == pytest.approx([0.0, 3.0 + call_live_loss.PAUSE_SECONDS])
    offset, delay = 1.5, 0.18
    lead = np.zeros(round((offset + delay) * RATE), np.float32)
    heard = np.concatenate([lead, sound, np.zeros(RATE, np.float32)])
    values, found = score(CLIPS, starts, heard, offset)
    assert found == pytest.approx(delay, abs=0.002)
    assert min(values) > 4.0
    # Holes of 80 ms, as lost packets would leave them.
    broken = heard.copy()
    for start in range(0, len(broken), 8000):
        broken[start : start + 1280] = 0.0
    worse, _ = score(CLIPS, starts, broken, offset)
    assert max(np.subtract(worse, values)) < -0.5


def result(clean, lossy):
    return Result(
        0.05, 0.048, Heard(clean, 0.17, FIGURES), Heard(lossy, 0.25, FIGURES), 3.9, 1.0
    )  # fmt: skip


def test_the_change_is_that_of_the_same_clips():
    found = result([3.0, 2.0, float("nan")], [2.9, 1.7, 3.0])
    change, spread = found.change
    assert change == pytest.approx(-0.2)
    assert spread == pytest.approx(1.96 * 0.1)
    row = render([found]).splitlines()[1]
    assert "-0.20 ± 0.20" in row
    assert "170 / 250" in row
    assert "5.0%" in row


def test_the_command_prints_each_rate_and_writes_all(tmp_path, monkeypatch, capsys):
    drawn = []

    async def call(clips, loss, lost, options):
        drawn.append(lost)
        return result([3.0, 2.0], [2.9, 1.8])

    monkeypatch.setattr(call_live_loss, "call", call)
    monkeypatch.setattr(call_live_loss, "load_clips", lambda folder, limit: CLIPS[:limit])
    out = tmp_path / "out.json"
    options = [str(tmp_path), "--loss", "0.05", "0.2", "--clips", "1", "--json", str(out)]
    assert call_live_loss.main(options) == 0
    assert [lost.mean() for lost in drawn] == pytest.approx([0.05, 0.2], abs=0.002)
    assert call_live_loss.main([*options, "--burst", "0.2"]) == 0
    bursts = np.diff(np.flatnonzero(np.diff(drawn[3].astype(int))))[::2].mean()
    assert bursts > 2.0
    assert "1 clips" in capsys.readouterr().out
    assert len(json.loads(out.read_text())) == 2


def test_no_recordings_is_said(tmp_path, capsys):
    assert call_live_loss.main([str(tmp_path)]) == 2
    assert "no recordings" in capsys.readouterr().err
