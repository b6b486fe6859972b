"""Delay and quality of a call between two browsers and a native client.

A server, two headless Chromiums and a native client run as processes of their own. One after the
other they speak a recording; what each said and what the others heard is recorded where it enters
and leaves the page (or the client), and compared: the delay is where the level contours correlate
best (as in ``call_delay``), the quality WB-PESQ at that delay.

    python -m bench.call_browser [--turn 5] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import streamcodec
from bench.call_delay import SAMPLE_RATE, delays, quality
from bench.chromium import Chromium, Page, Recorded
from bench.signals import Sound, fit_length, resample

CLIPS = (
    Path("examples/clips/librispeech-2033.flac"),
    Path("examples/clips/sense-and-sensibility.flac"),
)
NAMES = ("ann", "bob", "native")
ROOM = "bench"

LEAD_SECONDS = 2.0
"""Silence of the native client's recording before the turns, while the browsers learn of it."""

PAUSE_SECONDS = 1.0
"""Between two turns, so that the last one has been heard by then."""

START_SECONDS = 120.0
"""For a browser's codec, or the native client, to be in the room on a busy machine."""

HEARD_MARGIN = 0.1
"""Seconds cut off both ends of a turn where it is scored."""

LIVE = "document.getElementById('status').dataset.state === 'live'"


@dataclass(frozen=True)
class Way:
    """How well one heard another.

    Attributes
    ----------
    speaker, listener : str
    delay : float
        Median over the turn, seconds; NaN if nothing was recognised.
    correlation : float
        Of the level contours, median over the turn.
    pesq : float
        WB-PESQ, NaN if it cannot be had.
    """

    speaker: str
    listener: str
    delay: float
    correlation: float
    pesq: float


def codec_alone(said: Recorded) -> float:
    """WB-PESQ of what the codec alone makes of a turn: what a perfect call would give."""
    encoder = streamcodec.SpeechEncoder(refresh=1)
    decoder = streamcodec.SpeechDecoder(encoder.header)
    packets = [*encoder.push(said.sound), *encoder.flush()]
    sound = np.concatenate([*(decoder.push(packet) for packet in packets), decoder.flush()])
    return quality(said.sound, fit_length(sound, len(said.sound)))


@dataclass(frozen=True)
class Party:
    """All that was recorded.

    Attributes
    ----------
    said, heard : dict
        By name; ``said`` is the turn alone.
    figures : dict
        The native client's.
    shown : dict
        Text of each browser's page at the end.
    complaints : list of str
        Errors that pages logged.
    """

    said: dict[str, Recorded]
    heard: dict[str, Recorded]
    figures: dict[str, Any]
    shown: dict[str, str]
    complaints: list[str]

    def ways(self) -> list[Way]:
        """Every speaker to every listener."""
        return [
            compare(speaker, listener, self.said[speaker], self.heard[listener])
            for speaker in NAMES
            for listener in NAMES
            if speaker != listener
        ]


def excerpt(recorded: Recorded, start: float, seconds: float) -> Recorded:
    """The part of a recording that began at ``start``, seconds since the epoch, at 16 kHz."""
    sound = resample(recorded.sound, recorded.rate, SAMPLE_RATE)
    first = round((start - recorded.wall) * SAMPLE_RATE)
    before = np.zeros(max(0, -first), np.float32)
    part = fit_length(
        np.concatenate([before, sound[max(0, first) :]]), round(seconds * SAMPLE_RATE)
    )
    return Recorded(part, SAMPLE_RATE, start)


def compare(speaker: str, listener: str, said: Recorded, heard: Recorded) -> Way:
    """Delay and quality of one way."""
    seconds = len(said.sound) / SAMPLE_RATE
    around = excerpt(heard, said.wall, seconds + 2 * PAUSE_SECONDS)
    found = delays(said.sound, around.sound, 0.0)
    if not found:
        return Way(speaker, listener, math.nan, math.nan, math.nan)
    delay, correlation = (float(np.median(values)) for values in zip(*found, strict=True))
    arrived = excerpt(heard, said.wall + delay, seconds)
    return Way(speaker, listener, delay, correlation, quality(said.sound, arrived.sound))


async def join(page: Page, name: str, *, muted: bool = True) -> None:
    """Fill the page's form in and wait until the browser is in the room."""
    await page.run(
        f"document.getElementById('name').value = {json.dumps(name)};"
        "document.getElementById('headphones').checked = true;"
        f"document.getElementById('start-muted').checked = {json.dumps(muted)};"
        "document.getElementById('enter').click()"
    )
    await page.until(LIVE, START_SECONDS)


async def hold(turn: float, folder: Path, pictures: Path | None = None) -> Party:
    """Hold the call.

    Parameters
    ----------
    turn : float
        Seconds that each speaks.
    folder : Path
        For files that are needed meanwhile.
    pictures : Path, optional
        Folder for pictures of the page.
    """
    recordings = [_recording(clip, turn) for clip in CLIPS]
    turns = len(NAMES) * (turn + PAUSE_SECONDS)
    async with AsyncExitStack() as stack:
        url, page_url = await _serve(stack)
        pages: list[Page] = []
        browsers: list[Chromium] = []
        for name, sound in zip(NAMES, recordings, strict=False):
            path = folder / f"{name}.wav"
            soundfile.write(path, sound, SAMPLE_RATE, subtype="PCM_16")
            browsers.append(await stack.enter_async_context(Chromium(path)))
            pages.append(await browsers[-1].open(f"{page_url}#room={ROOM}"))
            # Drawing without a graphics card costs more than the codec does.
            await pages[-1].prefer(prefers_reduced_motion="reduce")
            await join(pages[-1], name)
        spoken = LEAD_SECONDS + turns - turn - PAUSE_SECONDS
        native = np.concatenate(
            [np.zeros(round(spoken * SAMPLE_RATE)), recordings[0], np.zeros(2 * SAMPLE_RATE)]
        )
        soundfile.write(folder / "native.wav", native, SAMPLE_RATE, subtype="PCM_16")
        output = folder / "heard.wav"
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamcodec_call", "call", "join", url, "--room", ROOM,
            "--name", NAMES[-1], "--complexity", "0", "--input", str(folder / "native.wav"),
            "--output", str(output), "--json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stack.push_async_callback(_end, client)
        for page in pages:
            await page.until(
                f"document.getElementById('members').childElementCount === {len(NAMES)}",
                START_SECONDS,
            )
        began = []
        for page in pages:
            began.append(time.time())
            await page.run("document.getElementById('mute').click()")
            await asyncio.sleep(turn)
            if pictures is not None:
                await take_pictures(page, pictures)
            await page.run("document.getElementById('mute').click()")
            await asyncio.sleep(PAUSE_SECONDS)
        printed, _ = await client.communicate()
        figures = json.loads(printed)
        said, heard, shown = {}, {}, {}
        for name, page, start in zip(NAMES, pages, began, strict=False):
            said[name] = excerpt(
                await page.recorded("said"), start + HEARD_MARGIN, turn - 2 * HEARD_MARGIN
            )
            heard[name] = await page.recorded("heard")
            shown[name] = await page.run("document.body.innerText")
        complaints = [line for browser in browsers for line in browser.complaints]
    # The client tells times of the monotonic clock.
    offset = time.time() - time.monotonic()
    native_heard, _ = soundfile.read(output, dtype="float32")
    heard[NAMES[-1]] = Recorded(native_heard, SAMPLE_RATE, figures["output_started"] + offset)
    said[NAMES[-1]] = Recorded(
        recordings[0], SAMPLE_RATE, figures["input_started"] + offset + spoken
    )
    return Party(said, heard, figures, shown, complaints)


async def take_pictures(page: Page, folder: Path) -> None:
    """Pictures of the page on a desk and on a phone, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        for device, (width, height) in {"desk": (1280, 900), "phone": (390, 844)}.items():
            await page.resize(width, height, phone=device == "phone")
            await page.picture(folder / f"call-{device}-{scheme}.png")


async def _serve(stack: AsyncExitStack) -> tuple[str, str]:
    """Start a server; gives its addresses for clients and for browsers."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamcodec_call", "call", "serve", "--port", "0",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip

    stack.push_async_callback(_end, server)
    if server.stdout is None:
        raise RuntimeError("the server has no output")
    lines = [(await server.stdout.readline()).decode().split()[-1] for _ in range(2)]
    return lines[0], lines[1]


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.communicate()


def _recording(clip: Path, seconds: float) -> Sound:
    sound, rate = soundfile.read(clip, dtype="float32")
    if rate != SAMPLE_RATE or sound.ndim != 1:
        raise SystemExit(f"{clip} should be 16 kHz mono")
    return sound[: round(seconds * rate)]


def main() -> None:
    """Run the measurement and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turn", type=float, default=5.0, help="seconds that each speaks")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        party = asyncio.run(hold(options.turn, Path(folder), options.pictures))
    alone = {name: codec_alone(said) for name, said in party.said.items()}
    print(f"{'from':<8} {'to':<8} {'delay ms':>8} {'correlation':>11} {'PESQ-WB':>8} {'codec':>6}")
    for way in party.ways():
        print(
            f"{way.speaker:<8} {way.listener:<8} {1e3 * way.delay:8.0f} {way.correlation:11.2f}"
            f" {way.pesq:8.2f} {alone[way.speaker]:6.2f}"
        )
    print("codec: PESQ-WB of the codec alone on the same turn, encoded without haste")
    for key in ("sent_kbit_s", "packets_received", "concealed", "late", "underruns"):
        print(f"native {key.replace('_', ' ')}: {party.figures[key]:.4g}")


if __name__ == "__main__":
    main()
