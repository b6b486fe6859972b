"""``streamcodec loopback`` on a virtual sound card, for minutes, beside a busy process if wanted.

A recording is played into the virtual microphone again and again; what passes through the
microphone and what leaves the virtual speaker are recorded side by side. Delay and correlation are
those of the two recordings' level contours, the command's own figures stand beside them.

    python -m bench.loopback [--minutes 10] [--load CORE] [--pin CORE] [-- OPTIONS OF THE COMMAND]

``--load 0`` keeps core 0 busy with something else; ``--pin 0`` confines the command to core 0.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from bench.call_delay import CLIP, delays
from bench.clips import Clip
from bench.metrics import Pesq
from bench.signals import align
from bench.virtual_sound import MICROPHONE, SAMPLE_RATE, SPEAKER, VirtualSoundCard, put_ahead

START_SECONDS = 60.0
"""For which the command may load its model."""

PAUSE_SECONDS = 0.5
"""Of silence between two repetitions of the recording."""

TAIL_SECONDS = 1.5
"""Recorded after the last word: more than any delay that is looked for."""

PIECE_SECONDS = 6.0
"""Length of what PESQ compares: about that of its own development material (8 s)."""

MAX_PIECES = 20
"""PESQ is asked about so many pieces, spread evenly: it takes half a second for each."""

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """Both sides of a run.

    Attributes
    ----------
    said, heard : ndarray
        float32 (n,) at 16 kHz.
    offset : float
        Seconds after the first sample of ``heard`` that the first of ``said`` was there.
    report : dict
        The command's own figures.
    cpu_seconds, daemon_cpu_seconds : float
        Processor time of the command (from its start, loading and all) and of the sound daemon.
    """

    said: Sound
    heard: Sound
    offset: float
    report: dict[str, Any]
    cpu_seconds: float
    daemon_cpu_seconds: float


@contextmanager
def busy(core: int | None) -> Iterator[None]:
    """Keep a core busy with something else; None: nothing."""
    if core is None:
        yield
        return
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(burner.pid, {core})
        yield
    finally:
        burner.kill()
        burner.wait()


def start(
    card: VirtualSoundCard, options: list[str], *, ahead: bool = False, **pipes: Any
) -> subprocess.Popen[str]:
    """Start the command on the card.

    Parameters
    ----------
    card : VirtualSoundCard
    options : list of str
        Of the command.
    ahead : bool
        Rank it before everything else on the machine, where the system allows that: for checks
        of what it does rather than of how fast.
    **pipes
        Of the process.
    """
    loop = subprocess.Popen(
        [sys.executable, "-m", "streamcodec_loopback", "loopback", *options],
        env=_with_plugins(card.environment), text=True, start_new_session=ahead, **pipes,
    )  # fmt: skip
    if ahead:
        put_ahead(loop.pid)
    return loop


def run(
    card: VirtualSoundCard,
    clip: Sound,
    seconds: float,
    options: list[str],
    *,
    core: int | None = None,
    ahead: bool = False,
) -> Heard:
    """Run the command on the card and speak ``clip`` into it for about ``seconds``.

    Raises
    ------
    RuntimeError
        The command ends early or does not begin.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    loop = start(
        card, ["--json", *options], ahead=ahead, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        if core is not None:
            os.sched_setaffinity(loop.pid, {core})
        lines: list[str] = []
        begun = threading.Event()
        reader = threading.Thread(target=_collect, args=(loop, lines, begun), daemon=True)
        reader.start()
        begun.wait(START_SECONDS)
        if loop.poll() is not None or not begun.is_set():
            raise RuntimeError(f"the loopback does not begin: {''.join(lines)}")
        said, heard = card.record(MICROPHONE), card.record(SPEAKER)
        pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
        end = time.monotonic() + seconds
        while time.monotonic() < end and loop.poll() is None:
            card.speak(np.concatenate([pause, clip]))
        time.sleep(TAIL_SECONDS)
        offset = said.began - heard.began
        sounds = said.stop(), heard.stop()
        daemon = _cpu_seconds(card.process)
        loop.send_signal(signal.SIGINT)
        status = loop.wait(START_SECONDS)
        reader.join()
        output = "" if loop.stdout is None else loop.stdout.read()
        if status != 0:
            raise RuntimeError(f"the loopback ended with status {status}: {''.join(lines)}")
    finally:
        loop.kill()
        loop.wait()
        for pipe in (loop.stdout, loop.stderr):
            if pipe is not None:
                pipe.close()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = spent.ru_utime + spent.ru_stime - children.ru_utime - children.ru_stime
    return Heard(*sounds, offset, json.loads(output), cpu, daemon)


def _with_plugins(environment: dict[str, str]) -> dict[str, str]:
    """Let a child find the plugin where it is not installed."""
    folder = str(Path(__file__).resolve().parents[1] / "plugins")
    path = os.pathsep.join(filter(None, [folder, environment.get("PYTHONPATH", "")]))
    return {**environment, "PYTHONPATH": path}


def _collect(loop: subprocess.Popen[str], lines: list[str], begun: threading.Event) -> None:
    """Read the command's log; its first line comes when sound flows, or says why not."""
    if loop.stderr is not None:
        for line in loop.stderr:
            lines.append(line)
            begun.set()
    begun.set()


def _cpu_seconds(process: int) -> float:
    """Processor time of a running process (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def score(result: Heard) -> dict[str, float]:
    """Delay, correlation and quality by the two recordings; empty if nothing was recognised."""
    found = delays(result.said, result.heard, result.offset)
    if not found:
        return {}
    values = np.array([delay for delay, _ in found])
    middle = float(np.median(values))
    size = round(PIECE_SECONDS * SAMPLE_RATE)
    shift = round((result.offset + middle) * SAMPLE_RATE)
    starts = range(0, min(len(result.said), len(result.heard) - shift) - size, size)
    qualities = []
    for start in starts[:: max(1, len(starts) // MAX_PIECES)]:
        said = result.said[start : start + size]
        heard = result.heard[max(0, start + shift) : start + shift + size]
        clip = Clip(name="loopback", sound=said)
        qualities.append(Pesq().score(clip, align(heard, said))["pesq_wb"])
    return {
        "windows": float(len(found)),
        "delay_ms": 1e3 * middle,
        "delay_ms_min": 1e3 * float(values.min()),
        "delay_ms_max": 1e3 * float(values.max()),
        "correlation": float(np.median([correlation for _, correlation in found])),
        "pesq_wb": float(np.nanmean(qualities)) if qualities else float("nan"),
    }


def main() -> None:
    """Run the measurement and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clip", type=Path, default=CLIP, help="16 kHz mono recording")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--load", type=int, metavar="CORE", help="keep this core busy")
    parser.add_argument("--pin", type=int, metavar="CORE", help="confine the command to this core")
    parser.add_argument("options", nargs="*", help="options of the command, after '--'")
    options = parser.parse_args()
    clip, rate = soundfile.read(options.clip, dtype="float32")
    if rate != SAMPLE_RATE or clip.ndim != 1:
        parser.error(f"{options.clip} should be 16 kHz mono")
    with busy(options.load), VirtualSoundCard() as card:
        result = run(card, clip, 60.0 * options.minutes, options.options, core=options.pin)
    figures = score(result)
    if not figures:
        print("nothing was heard that resembles the recording", file=sys.stderr)
        raise SystemExit(1)
    report = result.report
    print(f"underruns        {report['underruns']} ({report['underrun_ms']:.0f} ms)")
    for key in ("bridged_packets", "overruns", "skipped_ms", "cut_ms", "deadline_misses",
                "searches_cut_short", "packets", "kbit_s", "real_time_factor", "encode_ms",
                "encode_ms_max", "decode_ms", "speed_ppm", "slack_target_ms"):  # fmt: skip
        print(f"{key.replace('_', ' '):<16} {report[key]}")
    print(
        f"delay            {figures['delay_ms']:.0f} ms by correlation of the recordings (median "
        f"of {figures['windows']:.0f} windows, {figures['delay_ms_min']:.0f} to "
        f"{figures['delay_ms_max']:.0f})"
    )
    print(
        f"                 {report['delay_ms']:.0f} ms by the devices' time stamps "
        f"({report['delay_ms_min']:.0f} to {report['delay_ms_max']:.0f})"
    )
    print(f"correlation      {figures['correlation']:.3f}")
    print(f"PESQ-WB          {figures['pesq_wb']:.2f}")
    print(f"processor time   {result.cpu_seconds:.1f} s in {report['seconds']:.1f} s, loading and "
          f"players included; sound daemon {result.daemon_cpu_seconds:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
