"""Speed and memory over a long stream: both must not depend on its length.

    python -m bench.endurance FOLDER --minutes 60 --complexity 6

Loops the recordings of a folder through encoder and decoder, block by block, and prints for
each stretch of the stream how long both took (as parts of real time, CPU time of one thread)
and how much memory the process held.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import streamcodec
from bench.clips import load_clips
from streamcodec.speech.vocoders import DEFAULT_VOCODER, VOCODERS

BLOCK = 320
"""Samples pushed at a time: 20 ms at 16 kHz."""

RATE = 16_000


@dataclass
class Stretch:
    """What one stretch of the stream cost."""

    seconds: float = 0.0
    encode: float = 0.0
    decode: float = 0.0
    slowest: float = 0.0
    bits: int = 0


def blocks(folder: Path) -> Iterator[np.ndarray]:
    """Blocks of the folder's recordings, over and over."""
    clips = load_clips(folder, None)
    while True:
        for clip in clips:
            sound = np.asarray(clip.sound, np.float32)
            for start in range(0, len(sound) - BLOCK + 1, BLOCK):
                yield sound[start : start + BLOCK]


def resident_megabytes() -> float:
    """Memory that the process holds now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def run(options: argparse.Namespace) -> Iterator[tuple[float, Stretch, float]]:
    """Yield (minute, cost of the stretch before it, megabytes held)."""
    encoder = streamcodec.SpeechEncoder(
        options.bitrate, complexity=options.complexity, low_delay=options.low_delay
    )
    decoder = streamcodec.SpeechDecoder(encoder.header, vocoder=options.vocoder)
    stretch, total = Stretch(), 0.0
    for block in blocks(options.folder):
        begun = time.process_time()
        packets = encoder.push(block)
        encoded = time.process_time()
        for packet in packets:
            decoder.push(packet)
            stretch.bits += packet.bits
        done = time.process_time()
        stretch.encode += encoded - begun
        stretch.decode += done - encoded
        if total > 1.0:  # the first packets load code
            stretch.slowest = max(stretch.slowest, done - begun)
        stretch.seconds += BLOCK / RATE
        if stretch.seconds >= options.every:
            total += stretch.seconds
            yield total / 60, stretch, resident_megabytes()
            stretch = Stretch()
        if total >= options.minutes * 60:
            return


def main() -> None:
    """Print a line for each stretch."""
    parser = argparse.ArgumentParser(description="speed and memory over a long stream")
    parser.add_argument("folder", type=Path, help="recordings to loop")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds in a line")
    parser.add_argument("--bitrate", type=int, default=2000)
    parser.add_argument("--complexity", type=int, default=6)
    parser.add_argument("--low-delay", action="store_true")
    parser.add_argument("--vocoder", default=DEFAULT_VOCODER, choices=VOCODERS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("minute  encode   decode   slowest packet   kbit/s   memory")
    for minute, cost, megabytes in run(options):
        print(
            f"{minute:6.1f}  {cost.encode / cost.seconds:.3f}    "
            f"{cost.decode / cost.seconds:.3f}    "
            f"{cost.slowest * 1e3:6.1f} ms       {cost.bits / cost.seconds / 1e3:.3f}    "
            f"{megabytes:.0f} MB",
            flush=True,
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
