"""Encode a bundled recording, decode it in both ways, measure and draw the result.

    python examples/demo.py --out demo-out

Leaves ``original.wav``, ``clip.sc``, ``decoded-neural.wav``, ``decoded-griffin-lim.wav`` and
``picture.png`` in the folder and prints what they cost and how close they came.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import soundfile
import torch

import streamcodec
from streamcodec.cli.main import main as command

CLIP = Path(__file__).parent / "clips" / "sense-and-sensibility.flac"
VOCODERS = ("neural", "griffin-lim")


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description="Encode, decode, measure and draw a recording.")
    parser.add_argument("--clip", type=Path, default=CLIP, help="recording (default: bundled)")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for results")
    parser.add_argument("--bitrate", type=int, default=2000, help="bit/s (default 2000)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    original = options.out / "original.wav"
    stream = options.out / "clip.sc"
    samples, rate = soundfile.read(options.clip)
    soundfile.write(original, samples, rate)

    print(f"{options.clip.name}: {len(samples) / rate:.2f} s of speech at {rate} Hz\n")
    encoded = streamcodec.encode_file(original, stream, bitrate=options.bitrate)
    print(f"payload                  {encoded.kbps:.3f} kbit/s ({encoded.payload_bits} bits)")
    print(f"with packet headers      {encoded.wire_kbps:.3f} kbit/s")
    print(f"file                     {encoded.file_bytes} bytes, {encoded.packets} packets")
    print(f"algorithmic delay        {encoded.algorithmic_delay_ms:g} ms")
    print(f"encoder                  {encoded.real_time_factor:.3f} of real time, one thread")
    for vocoder in VOCODERS:
        sound = options.out / f"decoded-{vocoder}.wav"
        decoded = streamcodec.decode_file(stream, sound, vocoder=vocoder)
        print(f"\n{vocoder} vocoder")
        print(f"    decoder              {decoded.real_time_factor:.3f} of real time, one thread")
        for line in quality(original, sound):
            print(f"    {line}")

    picture = options.out / "picture.png"
    status = command(["inspect", str(stream), "-o", str(picture), "--original", str(original)])
    if status == 0:
        print(f"\nListen to and look at the files in {options.out}/")
    raise SystemExit(status)


def quality(reference: Path, degraded: Path) -> list[str]:
    """PESQ of a decoded recording in lines to print: narrowband (raw P.862) and wideband."""
    try:
        import pesq
    except ImportError:
        return ["(no PESQ: the package pesq is not installed)"]
    wanted, rate = soundfile.read(reference)
    found, decoded_rate = soundfile.read(degraded)
    if rate != decoded_rate or wanted.ndim != 1:
        return ["(no PESQ: it compares mono recordings at 16 kHz)"]
    found = found[: len(wanted)]
    narrowband = raw_pesq(pesq.pesq(rate, as_int16(wanted), as_int16(found), "nb"))
    wideband = pesq.pesq(rate, as_int16(wanted), as_int16(found), "wb")
    return [f"PESQ narrowband, raw {narrowband:.2f}", f"PESQ wideband        {wideband:.2f}"]


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as 16-bit integers."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def raw_pesq(objective: float) -> float:
    """Undo the mapping of P.862.1 that turns a raw P.862 score into MOS-LQO."""
    return (4.6607 - math.log(4 / (objective - 0.999) - 1)) / 1.4945


if __name__ == "__main__":
    main()
