"""Drive a headless Chromium through its DevTools protocol, with a recording for a microphone.

Every browser is a process of its own with a fresh profile. What its page hears from the fake
microphone and sends to the loudspeaker is recorded by a script put before the page's own: it taps
what the page connects to its microphone and to ``destination``, and knows nothing of the page.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from bench.signals import INT16_SCALE

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--mute-audio",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--remote-debugging-port=0",
)  # fmt: skip
"""``--no-sandbox`` because the sandbox does not run as root; only our own page is visited."""

START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.1
LARGEST_ANSWER = 1 << 28

TAPS = """
(() => {
  const taps = {};
  const connect = AudioNode.prototype.connect;
  const SIZE = 4096;
  const tap = (node, name) => {
    const context = node.context;
    const processor = context.createScriptProcessor(SIZE, 1, 1);
    const found = taps[name] = { rate: context.sampleRate, blocks: [] };
    processor.onaudioprocess = (event) => {
      const now = (performance.timeOrigin + performance.now()) / 1000;
      const at = Math.round(event.playbackTime * context.sampleRate);
      found.blocks.push({ at, now, sound: Int16Array.from(event.inputBuffer.getChannelData(0),
        (sample) => Math.max(-32768, Math.min(32767, Math.round(32768 * sample)))) });
    };
    connect.call(node, processor);
    connect.call(processor, context.destination);
  };
  AudioNode.prototype.connect = function (target, ...more) {
    if (this instanceof MediaStreamAudioSourceNode) tap(this, "said");
    if (target instanceof AudioDestinationNode) tap(this, "heard");
    return connect.call(this, target, ...more);
  };
  window.recorded = (name) => {
    const { rate, blocks } = taps[name];
    // A block's playbackTime is later than the truth by as much as its event came late, in steps
    // of a render quantum. Blocks follow each other without a gap unless whole ones are lost, so
    // each is a whole number of blocks behind the earliest.
    const first = blocks.length ? blocks[0].at : 0;
    const off = (at) => (((at - first + SIZE / 2) % SIZE) + SIZE) % SIZE - SIZE / 2;
    const origin = first + Math.min(0, ...blocks.map(({ at }) => off(at)));
    for (const block of blocks) block.start = SIZE * Math.floor((block.at - origin) / SIZE);
    const sound = new Int16Array(blocks.length ? blocks.at(-1).start + SIZE : 0);
    for (const block of blocks) sound.set(block.sound, block.start);
    // An event comes when its block is complete or later: the earliest is nearest to the truth.
    const wall = Math.min(...blocks.map(({ now, start }) => now - (start + SIZE) / rate));
    const bytes = new Uint8Array(sound.buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) {
      text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    }
    return { rate, wall, sound: btoa(text) };
  };
})();
"""


class ChromiumError(RuntimeError):
    """The browser is missing, does not start, or a script in it fails."""


@dataclass(frozen=True)
class Recorded:
    """What a page heard or said.

    Attributes
    ----------
    sound : ndarray, shape (n,), float32
    rate : int
        Hz.
    wall : float
        When its first sample was, seconds since the epoch; late by a few milliseconds at most.
    """

    sound: NDArray[np.float32]
    rate: int
    wall: float


def find_chromium() -> str:
    """Path of the browser's program."""
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise ChromiumError(f"expected one of {', '.join(PROGRAMS)}; install Debian's chromium")


class Chromium:
    """A browser that runs; used as an asynchronous context manager.

    Parameters
    ----------
    microphone : Path, optional
        Recording that its microphone plays over and over: WAV, 16 bits.
    """

    def __init__(self, microphone: Path | None = None) -> None:
        self._microphone = microphone
        self._stack = contextlib.AsyncExitStack()
        self._connection: ClientConnection
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self.complaints: list[str] = []
        """What pages logged as errors: exceptions and violated security policies too."""

    async def __aenter__(self) -> Chromium:
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            )
            switches = [*SWITCHES, f"--user-data-dir={folder}"]
            if self._microphone is not None:
                switches.append(f"--use-file-for-fake-audio-capture={self._microphone}")
            process = await asyncio.create_subprocess_exec(
                find_chromium(), *switches, "about:blank",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)},
            )  # fmt: skip
            stack.push_async_callback(_end, process)
            url = await _debugger(folder, process)
            self._connection = await stack.enter_async_context(
                connect(url, max_size=LARGEST_ANSWER, compression=None, proxy=None,
                        ping_interval=None)
            )  # fmt: skip
            reader = asyncio.create_task(self._read())
            stack.callback(reader.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.aclose()

    async def _read(self) -> None:
        async for data in self._connection:
            message = json.loads(data)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["level"] == "error":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    async def command(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Give a command of the DevTools protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._connection.send(json.dumps(message))
        found = await asyncio.wait_for(answer, ANSWER_SECONDS)
        if "error" in found:
            raise ChromiumError(f"{method}: {found['error']['message']}")
        return found["result"]

    async def open(self, url: str, width: int = 1280, height: int = 900) -> Page:
        """Open a page in a window of this size."""
        target = await self.command("Target.createTarget", url="about:blank")
        attached = await self.command(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.command(f"{domain}.enable")
        await page.command("Page.addScriptToEvaluateOnNewDocument", source=TAPS)
        await page.resize(width, height)
        await page.command("Page.navigate", url=url)
        await page.until("document.readyState === 'complete'")
        return page


class Page:
    """A page in a browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    async def command(self, method: str, **parameters: Any) -> Any:
        """A command for this page."""
        return await self._browser.command(method, self._session, **parameters)

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Show the page in this many CSS pixels, as on a phone with touch if asked."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        await self.command("Emulation.setTouchEmulationEnabled", enabled=phone)

    async def prefer(self, **features: str) -> None:
        """Set media features, for example ``prefers_color_scheme="dark"``."""
        wanted = [{"name": n.replace("_", "-"), "value": value} for n, value in features.items()]
        await self.command("Emulation.setEmulatedMedia", features=wanted)

    async def run(self, script: str) -> Any:
        """Value of a script, which may be a promise; counts as the user's doing."""
        found = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        if "exceptionDetails" in found:
            raise ChromiumError(f"{script!r}: {json.dumps(found['exceptionDetails'])}")
        return found["result"].get("value")

    async def until(self, condition: str, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the script ``condition`` is true."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.run(condition):
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise ChromiumError(f"{condition!r} did not come true; the page: {shown!r}") from None

    async def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        code = {"Tab": 9, "Enter": 13}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            extra = text if kind == "keyDown" else {}
            await self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra
            )

    async def recorded(self, name: str) -> Recorded:
        """What the page has ``"said"`` or ``"heard"`` so far."""
        found = await self.run(f"recorded({json.dumps(name)})")
        samples = np.frombuffer(base64.b64decode(found["sound"]), "<i2")
        sound = samples.astype(np.float32) / np.float32(INT16_SCALE)
        return Recorded(sound, int(found["rate"]), float(found["wall"]))

    async def picture(self, path: Path) -> None:
        """Save what the page shows, all of its height, as PNG."""
        found = await self.command(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True
        )
        path.write_bytes(base64.b64decode(found["data"]))


async def _debugger(folder: Path, process: asyncio.subprocess.Process) -> str:
    """Where the browser listens; it writes that into its profile once it does."""
    file = folder / "DevToolsActivePort"
    async with asyncio.timeout(START_SECONDS):
        while not (file.exists() and len(lines := file.read_text().split()) == 2):
            if process.returncode is not None:
                raise ChromiumError(f"the browser ended with status {process.returncode}")
            await asyncio.sleep(POLL_SECONDS)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5.0)
        except TimeoutError:
            process.kill()
            await process.wait()
