"""A browser's sound on the server's clock, which is simulated here."""

from __future__ import annotations

import numpy as np
from streamcodec_call.intake import MAX_AHEAD, PATIENCE, Intake

RATE = 16_000
FRAME = 320
BLOCK = 1280


class Scene:
    """Frames that are numbered, and blocks pulled as the client does."""

    def __init__(self):
        self.intake = Intake(RATE)
        self.intake.start(0.0)
        self.sent = 0
        self.blocks = []

    def send(self, now):
        self.sent += 1
        self.intake.push(np.full(FRAME, self.sent, np.float32), now)

    def run(self, start, stop, sends=True):
        """Time from ``start`` to ``stop`` in steps of 20 ms."""
        for n in range(round((stop - start) / 0.02)):
            now = start + 0.02 * (n + 1)
            if sends:
                self.send(now)
            while (block := self.intake.pull(BLOCK, now)) is not None:
                self.blocks.append(block)

    @property
    def sound(self):
        return np.concatenate(self.blocks)


def test_what_comes_in_time_passes_unchanged():
    scene = Scene()
    scene.run(0.0, 2.0)
    assert scene.sound[::FRAME].tolist() == list(range(1, 101))
    assert (scene.intake.filled, scene.intake.dropped) == (0, 0)


def test_nothing_is_taken_before_the_start():
    intake = Intake(RATE)
    intake.push(np.ones(FRAME, np.float32), 0.0)
    assert intake.pull(FRAME, 1.0) is None
    intake.start(5.0)
    assert intake.pull(FRAME, 5.1) is None


def test_a_pause_is_filled_so_that_blocks_keep_the_time():
    scene = Scene()
    scene.run(0.0, 1.0)
    scene.run(1.0, 3.0, sends=False)
    blocks = (3.0 - PATIENCE) * RATE / BLOCK
    assert blocks - 1 <= len(scene.blocks) <= blocks
    assert not scene.sound[RATE + BLOCK :].any()


def test_what_piled_up_in_a_stall_does_not_delay_what_follows():
    scene = Scene()
    scene.run(0.0, 1.0)
    scene.run(1.0, 2.0, sends=False)
    for _ in range(50):
        scene.send(2.0)
    assert scene.intake.dropped > 0
    scene.run(2.0, 4.0)
    # Block n ends no later than n blocks after the start: timestamps are not behind the clock.
    assert len(scene.blocks) * BLOCK >= (4.0 - MAX_AHEAD) * RATE - BLOCK
    assert len(scene.blocks) * BLOCK <= 4.0 * RATE
    newest = scene.sound[-1]
    assert scene.sent - newest <= (MAX_AHEAD * RATE + BLOCK) / FRAME


def test_a_flood_is_never_held():
    intake = Intake(RATE)
    intake.start(0.0)
    for _ in range(10_000):
        intake.push(np.ones(FRAME, np.float32), 0.0)
    assert intake._queued <= MAX_AHEAD * RATE


def test_muted_is_silent_at_once_and_keeps_the_time():
    scene = Scene()
    scene.run(0.0, 1.0)
    scene.intake.muted = True
    before = len(scene.blocks)
    scene.run(1.0, 2.0)
    assert not np.concatenate(scene.blocks[before:]).any()
    assert len(scene.blocks) * BLOCK >= 2.0 * RATE - BLOCK
    assert scene.intake.filled == 0
    scene.intake.muted = False
    scene.run(2.0, 3.0)
    assert scene.sent - scene.sound[-1] <= BLOCK / FRAME


def test_a_clock_that_is_a_little_fast_is_followed():
    intake = Intake(RATE)
    intake.start(0.0)
    given = 0
    for n in range(10_000):
        now = 0.02 * (n + 1)
        intake.push(np.ones(FRAME + (n % 3 == 0), np.float32), now)  # 0.1 %
        while intake.pull(BLOCK, now) is not None:
            given += BLOCK
    assert abs(given - 200 * RATE) <= MAX_AHEAD * RATE + BLOCK
    assert intake.dropped > 0
