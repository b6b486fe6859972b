"""Speech quality of a real call that loses packets, against the same call without loss.

A relay, a speaker and two listeners run as processes of their own. One listener is connected to
the relay, the other through a proxy that drops frames of sound on their way to it, at random
(seeded) or in bursts; the speaker's client does about it what it always does. Each listener
records what it hears, and every clip is scored in WB-PESQ where it was heard. Both heard the same
packets, so that the difference is what loss costs.

    python -m bench.call_live_loss FOLDER [--loss 0.05 0.2] [--clips N] [--burst SECONDS]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from streamcodec_call.call_settings import DEFAULT_COMPLEXITY
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.call_delay import CONTOUR_HOP, MAX_DELAY, contour, lag, quality
from bench.call_loss import Losses, gilbert_loss, random_loss
from bench.clips import Clip, load_clips
from bench.signals import SAMPLE_RATE, Sound, fit_length

SEED = 1960
LOSS_RATES = (0.05, 0.20)

PAUSE_SECONDS = 0.6
"""Silence behind each clip: long enough that sending stops and starts again."""

START_SECONDS = 3.0
"""Given to the listeners to be there before anybody speaks."""

END_SECONDS = 2.0

FRAMES = 1 << 20
"""Frames for which losses are drawn at once: half a day of speech."""

CONFIDENCE = 1.96
"""Standard errors of a 95 % interval."""


class LossyProxy:
    """A websocket between a listener and the relay that drops frames of sound.

    Used as an asynchronous context manager; ``url`` is where the listener connects.

    Parameters
    ----------
    target : str
        Of the relay.
    lost : ndarray of bool
        Whether each binary frame towards the listener, one after the other, is dropped.
    """

    def __init__(self, target: str, lost: Losses) -> None:
        self._target = target
        self._lost = lost
        self._stack = AsyncExitStack()
        self.url = ""
        self.frames = 0
        self.dropped = 0

    async def __aenter__(self) -> LossyProxy:
        server = await self._stack.enter_async_context(
            serve(self._handle, "127.0.0.1", 0, compression=None, ping_interval=None)
        )
        self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _handle(self, listener: ServerConnection) -> None:
        async with connect(self._target, compression=None, proxy=None, ping_interval=None) as relay:

            async def upwards() -> None:
                async for data in listener:
                    await relay.send(data)
                await relay.close()

            task = asyncio.create_task(upwards())
            try:
                async for data in relay:
                    if not (isinstance(data, bytes) and self._drops()):
                        await listener.send(data)
            except ConnectionClosed:
                pass
            finally:
                task.cancel()

    def _drops(self) -> bool:
        lost = bool(self._lost[self.frames % len(self._lost)])
        self.frames += 1
        self.dropped += lost
        return lost


@dataclass(frozen=True)
class Heard:
    """What one listener heard of every clip.

    Attributes
    ----------
    pesq : list of float
        WB-PESQ of each clip; NaN where it cannot be had.
    delay : float
        Mouth to ear, seconds: median over clips.
    figures : dict
        The client's.
    """

    pesq: list[float]
    delay: float
    figures: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """One call.

    Attributes
    ----------
    loss : float
        Asked for.
    lost : float
        Share of the frames that the proxy dropped.
    clean, lossy : Heard
    sent_kbit_s : float
        Of the speaker, repetitions included, headers not.
    repeated : float
        Share of its packets that it sent twice.
    """

    loss: float
    lost: float
    clean: Heard
    lossy: Heard
    sent_kbit_s: float
    repeated: float

    @property
    def change(self) -> tuple[float, float]:
        """Mean change of WB-PESQ by the loss, clip by clip, and half its 95 % interval."""
        changes = np.subtract(self.lossy.pesq, self.clean.pesq)
        changes = changes[np.isfinite(changes)]
        if len(changes) < 2:
            return math.nan, math.nan
        spread = CONFIDENCE * float(np.std(changes, ddof=1)) / math.sqrt(len(changes))
        return float(np.mean(changes)), spread


def track(clips: Sequence[Clip]) -> tuple[Sound, list[float]]:
    """All clips one after another with pauses, and when each begins, in seconds."""
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    pieces, starts, at = [], [], 0
    for clip in clips:
        starts.append(at / SAMPLE_RATE)
        pieces += [clip.sound, pause]
        at += len(clip.sound) + len(pause)
    return np.concatenate(pieces), starts


def score(
    clips: Sequence[Clip], starts: Sequence[float], heard: NDArray[np.float32], offset: float
) -> tuple[list[float], float]:
    """WB-PESQ of each clip in a recording of the call, and the median delay in seconds.

    ``offset`` is how many seconds after the recording began the track did.
    """
    values, delays = [], []
    for clip, start in zip(clips, starts, strict=True):
        first = max(0, round((offset + start) * SAMPLE_RATE))
        piece = fit_length(heard[first:], len(clip.sound) + round(MAX_DELAY * SAMPLE_RATE))
        hops, _ = lag(contour(clip.sound), contour(piece))
        delays.append(hops * CONTOUR_HOP / SAMPLE_RATE)
        values.append(quality(clip.sound, piece[hops * CONTOUR_HOP :][: len(clip.sound)]))
    return values, float(np.median(delays))


async def call(
    clips: Sequence[Clip], loss: float, lost: Losses, options: argparse.Namespace
) -> Result:
    """Hold one call and score it."""
    sound, starts = track(clips)
    seconds = len(sound) / SAMPLE_RATE
    profile = ["--low-delay"] if options.low_delay else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "said.wav", sound, SAMPLE_RATE, subtype="PCM_16")
        async with AsyncExitStack() as stack:
            relay = await _start(stack, "serve", "--port", "0", "--max-gateway", "0")
            if relay.stdout is None:
                raise RuntimeError("the relay has no output")
            url = (await relay.stdout.readline()).decode().split()[-1]
            proxy = await stack.enter_async_context(LossyProxy(url, lost))
            listeners = {}
            for who, where in (("clean", url), ("lossy", proxy.url)):
                listeners[who] = await _start(
                    stack, "join", where, "--room", "bench", "--json", "--name", who, *profile,
                    "--input", "none", "--output", str(folder / f"{who}.wav"),
                    "--seconds", str(seconds + START_SECONDS + END_SECONDS + 8.0),
                )  # fmt: skip
            await asyncio.sleep(START_SECONDS)
            speaker = await _start(
                stack, "join", url, "--room", "bench", "--json", *profile,
                "--input", str(folder / "said.wav"), "--output", "none",
                "--complexity", str(options.complexity),
            )  # fmt: skip
            spoken = await _figures(speaker)
            heard = {}
            for who, process in listeners.items():
                figures = await _figures(process)
                recording, _ = soundfile.read(folder / f"{who}.wav", dtype="float32")
                offset = spoken["input_started"] - figures["output_started"]
                heard[who] = Heard(*score(clips, starts, recording, offset), figures)
    return Result(
        loss, proxy.dropped / max(1, proxy.frames), heard["clean"], heard["lossy"],
        spoken["sent_kbit_s"], spoken["repeated"] / max(1, spoken["packets_sent"]),
    )  # fmt: skip


async def _start(stack: AsyncExitStack, *arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamcodec_call", "call", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    stack.push_async_callback(_end, process)
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.communicate()


async def _figures(process: asyncio.subprocess.Process) -> dict[str, Any]:
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"a client ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(printed)
    return found


def render(results: Sequence[Result]) -> str:
    """The table as text."""
    lines = [
        f"{'loss':>5} {'lost':>6} {'WB clean':>9} {'WB lossy':>9} {'change':>14} {'kbit/s':>7}"
        f" {'repeated':>9} {'concealed':>10} {'delay ms':>12}"
    ]
    for found in results:
        change, spread = found.change
        figures = found.lossy.figures
        concealed = figures["concealed"] / max(1, figures["concealed"] + figures["packets_played"])
        delay = f"{1e3 * found.clean.delay:.0f} / {1e3 * found.lossy.delay:.0f}"
        lines.append(
            f"{found.loss:5.0%} {found.lost:6.1%} {np.nanmean(found.clean.pesq):9.2f}"
            f" {np.nanmean(found.lossy.pesq):9.2f} {change:+7.2f} ± {spread:.2f}"
            f" {found.sent_kbit_s:7.2f} {found.repeated:9.0%} {concealed:10.1%} {delay:>12}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        clips = load_clips(options.folder, options.clips)
    except OSError as error:
        print(f"call_live_loss: {error}", file=sys.stderr)
        return 2
    results = []
    for loss in options.loss:
        packets = options.burst / (0.04 if options.low_delay else 0.08)
        draw = gilbert_loss(loss, max(1.0, packets)) if options.burst else random_loss(loss)
        lost = draw(np.random.default_rng([SEED, options.seed]), FRAMES)
        results.append(asyncio.run(call(clips, loss, lost, options)))
        print(render(results[-1:]), flush=True)
    seconds = sum(clip.seconds for clip in clips)
    print(f"\n{len(clips)} clips, {seconds / 60:.1f} min in each call; delays: without loss / with")
    if options.json:
        rows = [asdict(result) for result in results]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.call_live_loss", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="recordings")
    parser.add_argument("--loss", type=float, nargs="+", default=LOSS_RATES, help="shares lost")
    parser.add_argument("--burst", type=float, default=0.0, help="mean seconds of a burst; 0: none")
    parser.add_argument("--clips", type=int, help="take so many, evenly spread")
    parser.add_argument("--complexity", type=int, default=DEFAULT_COMPLEXITY)
    parser.add_argument("--low-delay", action="store_true", help="40 ms packets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
