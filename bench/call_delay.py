"""Mouth-to-ear delay of a native call over loopback.

A relay and two clients run as processes of their own. One speaks a recording in real time, the
other records what it hears; both say when their first sample was due. The delay is where the
level contours of both signals correlate best: a codec of this kind keeps levels and not waves.
Sound devices would add their own buffers.

    python -m bench.call_delay [--low-delay] [--complexity N] [--seconds 12] [--clip FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from streamcodec_call.call_settings import DEFAULT_COMPLEXITY

from bench.clips import Clip
from bench.metrics import Pesq
from bench.signals import SAMPLE_RATE, Sound, align, fit_length

CLIP = Path("examples/clips/librispeech-2033.flac")
CONTOUR_HOP = 16
"""Samples between values of a level contour: 1 ms."""

CONTOUR_WINDOW = 320
"""Samples that a value is smoothed over: 20 ms, a few periods of a voice."""

FLOOR = 1e-5
"""Power added before the logarithm, so that pauses do not count for more than speech."""

MAX_DELAY = 1.0
WINDOW_SECONDS = 2.0
MIN_SCORE = 0.6
"""Correlation below which a window says nothing (it is a pause, or was concealed)."""

START_SECONDS = 8.0
"""For which the listener stays beyond the speaker's time: it starts first and stops last."""


def contour(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level every millisecond, shape (n,), in dB."""
    window = np.hanning(CONTOUR_WINDOW)
    power = np.convolve(sound.astype(np.float64) ** 2, window / window.sum(), "same")
    return 10 * np.log10(power[::CONTOUR_HOP] + FLOOR)


def lag(said: NDArray[np.float64], heard: NDArray[np.float64]) -> tuple[int, float]:
    """Where ``said`` fits best into the longer ``heard``, in hops, and the correlation there."""
    scores = [
        np.corrcoef(said, heard[start : start + len(said)])[0, 1]
        for start in range(len(heard) - len(said) + 1)
    ]
    best = int(np.argmax(scores))
    return best, float(scores[best])


def delays(
    said: NDArray[np.float32], heard: NDArray[np.float32], offset: float
) -> list[tuple[float, float]]:
    """Delay in seconds and correlation for each window of the recording.

    ``offset`` is how many seconds after the first sample was heard the first one was said.
    """
    hops_a_second = SAMPLE_RATE // CONTOUR_HOP
    lead = round(offset * hops_a_second)
    said_levels, heard_levels = contour(said), contour(heard)
    size, reach = int(WINDOW_SECONDS * hops_a_second), int(MAX_DELAY * hops_a_second)
    found = []
    for start in range(0, len(said_levels) - size + 1, size // 2):
        piece = heard_levels[lead + start : lead + start + size + reach]
        if len(piece) < size + reach or said_levels[start : start + size].std() < 1.0:
            continue
        best, score = lag(said_levels[start : start + size], piece)
        if score >= MIN_SCORE:
            found.append((best / hops_a_second, score))
    return found


def quality(said: Sound, heard: Sound) -> float:
    """WB-PESQ of what was heard, its delay but for a little removed; NaN without the package."""
    metric = Pesq()
    if metric.available() is not None:
        return math.nan
    return metric.score(Clip("call", said), align(heard, said))["pesq_wb"]


def call(options: argparse.Namespace, recording: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the call; the figures of speaker and listener."""
    command = [sys.executable, "-m", "streamcodec_call", "call"]
    relay = subprocess.Popen([*command, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
    profile = ["--low-delay"] if options.low_delay else []
    try:
        if relay.stdout is None:
            raise RuntimeError("the relay has no output")
        join = [*command, "join", relay.stdout.readline().split()[-1], "--room", "bench", "--json"]
        listener = subprocess.Popen(
            [
                *join, "--input", "none", "--output", str(recording),
                "--seconds", str(options.seconds + START_SECONDS), *profile,
            ],
            stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        spoken = subprocess.run(
            [
                *join, "--input", str(options.clip), "--output", "none",
                "--seconds", str(options.seconds), "--complexity", str(options.complexity),
                *profile,
            ],
            stdout=subprocess.PIPE, text=True, check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        heard, _ = listener.communicate()
    finally:
        relay.terminate()
        relay.wait()
    return json.loads(spoken.stdout), json.loads(heard)


def main() -> None:
    """Run the measurement and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clip", type=Path, default=CLIP, help="16 kHz mono recording")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--complexity", type=int, default=DEFAULT_COMPLEXITY)
    parser.add_argument("--low-delay", action="store_true")
    options = parser.parse_args()
    said, rate = soundfile.read(options.clip, dtype="float32")
    if rate != SAMPLE_RATE or said.ndim != 1:
        parser.error(f"{options.clip} should be 16 kHz mono")
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "heard.wav"
        speaker, listener = call(options, recording)
        heard, _ = soundfile.read(recording, dtype="float32")
    offset = speaker["input_started"] - listener["output_started"]
    found = delays(said, heard, offset)
    if not found:
        print("nothing was heard that resembles the recording", file=sys.stderr)
        raise SystemExit(1)
    values = [1e3 * delay for delay, _ in found]
    print(f"profile          {'40 ms packets' if options.low_delay else '80 ms packets'}")
    print(f"delay            {np.median(values):.0f} ms (median of {len(values)} windows)")
    print(f"                 {min(values):.0f} to {max(values):.0f} ms")
    print(f"correlation      {np.median([score for _, score in found]):.2f} (median)")
    begin = round((offset + 1e-3 * float(np.median(values))) * SAMPLE_RATE)
    print(f"PESQ-WB          {quality(said, fit_length(heard[max(0, begin) :], len(said))):.2f}")
    print(f"sent             {speaker['sent_kbit_s']:.2f} kbit/s")
    print(f"encoding         {1e3 * speaker['encode_seconds_max']:.0f} ms at most")
    packets = max(1, speaker["packets_encoded"])
    print(
        f"search           {speaker['iterations'] / packets:.1f} iterations a packet, "
        f"{speaker['searches_cut'] / packets:.0%} cut short, "
        f"{speaker['deadline_misses']} of {packets} packets late"
    )
    for name, side in (("speaker", speaker), ("listener", listener)):
        share = side["processor_seconds"] / side["seconds"]
        print(f"{name:<16} {share:.0%} of one core")
    for key in (
        "packets_received", "concealed", "late", "inserted", "skipped", "lengthened_seconds",
        "shortened_seconds", "underruns", "player_stalls",
    ):  # fmt: skip
        print(f"{key.replace('_', ' '):<18} {listener[key]:.3g}")


if __name__ == "__main__":
    main()
