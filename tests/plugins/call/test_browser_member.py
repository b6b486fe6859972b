"""A browser's microphone and loudspeaker as the native client sees them."""

from __future__ import annotations

import asyncio

import numpy as np
from streamcodec_call.browser_member import FRAME, QUIET_FRAMES, BrowserSink, BrowserSource
from streamcodec_call.leg import PCM, SILENCE, parse_pcm
from streamcodec_call.mixer import BLOCK

BLOCKS = FRAME // BLOCK


def played(blocks):
    frames = []
    sink = BrowserSink(frames.append)
    for block in blocks:
        sink.write(block)
    return frames


def tone(count):
    return [np.full(BLOCK, 0.25, np.float32)] * count


def nothing(count):
    return [np.zeros(BLOCK, np.float32)] * count


def test_blocks_are_gathered_to_frames():
    frames = played(tone(3 * BLOCKS + 1))
    assert [len(frame) for frame in frames] == [4 + 2 * FRAME] * 3
    assert [int.from_bytes(frame[2:4], "little") for frame in frames] == [0, 1, 2]
    assert np.allclose(parse_pcm(frames[0]), 0.25)


def test_nothing_is_sent_before_anyone_is_heard():
    assert played(nothing(50 * BLOCKS)) == []


def test_silence_is_said_once_and_ends_when_someone_speaks():
    frames = played([*tone(BLOCKS), *nothing(30 * BLOCKS), *tone(BLOCKS)])
    kinds = [frame[0] for frame in frames]
    assert kinds == [PCM] * QUIET_FRAMES + [SILENCE, PCM]
    numbers = [int.from_bytes(frame[2:4], "little") for frame in frames]
    assert numbers == list(range(len(frames)))


def test_the_microphone_gives_blocks_in_time_even_if_nothing_comes():
    async def scene():
        source = BrowserSource(16_000)
        blocks = source.blocks(0.04)
        taken = [await anext(blocks) for _ in range(5)]
        await blocks.aclose()
        return taken

    taken = asyncio.run(asyncio.wait_for(scene(), 10.0))
    assert all(block.shape == (640, 1) and not block.any() for block in taken)


def test_the_microphone_gives_what_came():
    async def scene():
        source = BrowserSource(48_000)
        blocks = source.blocks(0.04)
        waiting = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0.01)
        for n in range(2):
            source.intake.push(np.full(960, n + 1, np.float32), source.started + 0.02 * (n + 1))
        block = await waiting
        await blocks.aclose()
        return block

    block = asyncio.run(asyncio.wait_for(scene(), 10.0))
    assert block[:, 0].tolist() == [1.0] * 960 + [2.0] * 960
