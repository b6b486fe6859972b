"""The loopback without its devices: microphone samples in, speaker samples out.

Each block is brought to 16 kHz and cut into packets; a packet goes through the codec, or past it
in bypass, and what comes back is brought to the speaker's rate, stretched by what keeps the queue
in front of the speaker at its depth. No thread, device or file here; the only clock is the one
that deadlines are given by, and the queue's depth is asked of the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .codec import Coded
from .drift import QueueControl, Steering
from .resample import VariableResampler

QUIETEST_DB = -90.0
"""Level that stands for silence: the noise of 16-bit samples is not far below."""

SWITCH_SECONDS = 0.010
"""Crossfade between codec and bypass, and around a cut."""

RECENT_SECONDS = 2.0
"""Over which the present bit rate and real-time factor are averaged."""

UTILIZATION = 0.7
"""Share of a packet's time that search and decoding may take together. The search ends up to one
iteration after its time (measured: 6 ms, ``bench.loopback`` with ``--low-delay``), and a machine
that is always at its limit never catches up."""

MAX_BRIDGED = 5
"""Packets concealed in a row while no input comes; by then concealment is silence."""


class Codec(Protocol):
    """What is needed of :class:`~streamcodec_loopback.codec.CodecPath`."""

    @property
    def frame_size(self) -> int:
        """Samples in a packet."""

    @property
    def sample_rate(self) -> int:
        """Of the sound, Hz."""

    @property
    def decode_estimate(self) -> float:
        """Seconds that decoding takes."""

    def push(self, frame: np.ndarray, allowed: float) -> Coded:
        """Send a packet's samples through."""

    def conceal(self) -> np.ndarray:
        """Sound for input that did not come."""

    def reset(self) -> None:
        """Begin a new stream."""


@dataclass
class EngineFigures:
    """What is counted; durations in seconds, levels in dB under full scale."""

    packets: int = 0
    lost: int = 0
    bridged: int = 0
    payload_bits: int = 0
    packet_bits: int = 0
    encode_seconds: float = 0.0
    encode_seconds_max: float = 0.0
    decode_seconds: float = 0.0
    deadline_misses: int = 0
    curtailed: int = 0
    skipped_seconds: float = 0.0
    cut_seconds: float = 0.0
    filled_seconds: float = 0.0
    input_level: float = QUIETEST_DB
    output_level: float = QUIETEST_DB
    slack: float = 0.0
    recent: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, coded: Coded, memory: int) -> None:
        """Count a packet; the present figures are those of the last ``memory`` packets."""
        self.packets += 1
        self.lost += coded.lost
        self.payload_bits += coded.payload_bits
        self.packet_bits += coded.packet_bits
        self.encode_seconds += coded.encode_seconds
        self.encode_seconds_max = max(self.encode_seconds_max, coded.encode_seconds)
        self.decode_seconds += coded.decode_seconds
        self.curtailed += coded.curtailed
        self.recent.append((coded.payload_bits, coded.encode_seconds + coded.decode_seconds))
        if len(self.recent) > memory:
            self.recent.popleft()


class LoopbackEngine:
    """From the microphone's samples to the speaker's.

    Parameters
    ----------
    codec : Codec
    input_rate, output_rate : int
        Of the two devices, Hz.
    bypass : bool
        Begin in bypass.
    """

    def __init__(
        self, codec: Codec, input_rate: int, output_rate: int, *, bypass: bool = False
    ) -> None:
        rate = codec.sample_rate
        self.codec = codec
        self.bypass = bypass
        """Whether the microphone's own sound is heard, as late as the codec's would be."""
        self._rate, self._input_rate, self._output_rate = rate, input_rate, output_rate
        self.packet_seconds = codec.frame_size / rate
        """Sound in a packet, seconds."""
        self._memory = max(1, round(RECENT_SECONDS / self.packet_seconds))
        self._input = None if input_rate == rate else VariableResampler(input_rate, rate)
        self._output = VariableResampler(rate, output_rate)
        self.reset()

    def reset(self) -> None:
        """Begin a new stream; figures too."""
        self.codec.reset()
        if self._input is not None:
            self._input.reset()
        self._output.reset()
        self._frame = np.zeros(0, np.float32)
        self._original = np.zeros(0, np.float32)
        self._bypassed = self.bypass
        self._blind = 0
        self._begun = False
        self._decoded = 0
        self.control = QueueControl(self.packet_seconds)
        self.figures = EngineFigures()

    @property
    def needed(self) -> int:
        """Input samples that complete the next packet; at least 1."""
        missing = self.codec.frame_size - len(self._frame)
        if self._input is None:
            return missing
        # Outputs come when the whole filter has been fed.
        waiting = self._input.delay - self._input.pending
        return max(1, int(missing * self._input_rate / self._rate + waiting))

    @property
    def position(self) -> float:
        """Seconds of input before what the next sample to be given stands for."""
        given = self._decoded - self._output.pending
        return given / self._rate + self.figures.skipped_seconds

    @property
    def kbit_s(self) -> float:
        """Present bit rate of the payload."""
        recent = self.figures.recent
        return 1e-3 * sum(r[0] for r in recent) / max(1, len(recent)) / self.packet_seconds

    @property
    def real_time_factor(self) -> float:
        """Present share of a packet's time that coding it takes."""
        recent = self.figures.recent
        return sum(r[1] for r in recent) / max(1, len(recent)) / self.packet_seconds

    def push(self, block: np.ndarray, queued: Callable[[], float]) -> np.ndarray:
        """Take a block of the microphone's.

        Parameters
        ----------
        block : ndarray
            float32 ``(n,)`` at the input's rate, any n.
        queued : callable
            Gives the seconds of sound that wait in front of the speaker; asked before and after
            a packet is coded.

        Returns
        -------
        ndarray
            float32 ``(m,)`` at the output's rate.
        """
        if len(block):
            self.figures.input_level = level_db(block)
        # A driver may hand over anything; the codec refuses what is no sound, and ends the stream.
        block = np.clip(np.nan_to_num(block), -1.0, 1.0)
        sound = block if self._input is None else self._input.push(block)
        self._frame = np.concatenate([self._frame, sound])
        size = self.codec.frame_size
        parts = [np.empty(0, np.float32)]
        while len(self._frame) >= size:
            frame, self._frame = self._frame[:size], self._frame[size:]
            parts.append(self._packet(frame, queued))
        return np.concatenate(parts)

    def skip(self, samples: int) -> None:
        """Take notice that so many input samples were left out because they would be too late."""
        self.figures.skipped_seconds += samples / self._input_rate

    def bridge(self) -> np.ndarray:
        """Sound for a speaker that is about to run dry while no input comes, ``(m,)``."""
        if not self._begun or self._blind >= MAX_BRIDGED:
            return np.empty(0, np.float32)
        self._blind += 1
        self.figures.bridged += 1
        sound = self.codec.conceal()
        return self._output.push(np.zeros_like(sound) if self._bypassed else sound)

    def _packet(self, frame: np.ndarray, queued: Callable[[], float]) -> np.ndarray:
        self._blind = 0
        control, codec = self.control, self.codec
        allowed = UTILIZATION * self.packet_seconds
        if self._begun:  # nobody waits yet for the very first packet
            allowed = min(allowed, queued() - control.target / 2)
        coded = codec.push(frame, allowed - codec.decode_estimate)
        self.figures.add(coded, self._memory)
        self._original = np.concatenate([self._original, frame])
        original, self._original = np.split(self._original, [len(coded.sound)])
        self._decoded += len(coded.sound)
        sound = self._choose(coded.sound, original)
        if len(sound):
            self.figures.output_level = level_db(sound)
        slack = queued()
        self.figures.slack = slack
        if self._begun and slack <= 0.0:
            self.figures.deadline_misses += 1
        self._begun = True
        return self._steer(sound, control.steer(slack))

    def _choose(self, coded: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Codec or bypass, with a crossfade where that changes."""
        before, self._bypassed = self._bypassed, self.bypass
        now = original if self._bypassed else coded
        if before == self._bypassed:
            return now
        return self._crossfade(original if before else coded, now)

    def _crossfade(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Begin with ``before``, end with ``after``, as long as that."""
        size = min(round(SWITCH_SECONDS * self._rate), len(before), len(after))
        ramp = np.linspace(0.0, 1.0, size, dtype=np.float32)
        return np.concatenate([before[:size] * (1 - ramp) + after[:size] * ramp, after[size:]])

    def _steer(self, sound: np.ndarray, steering: Steering) -> np.ndarray:
        if steering.fill:
            self.figures.filled_seconds += steering.fill
            # A stream's first packet is shorter; the second will not come the sooner for that.
            short = self.codec.frame_size - len(sound)
            silence = np.zeros(round(steering.fill * self._rate) + short, np.float32)
            sound = np.concatenate([silence, sound])
        if steering.cut:
            self.figures.cut_seconds += steering.cut
            sound = self._crossfade(sound, sound[round(steering.cut * self._rate) :])
        return self._output.push(sound, steering.stretch)


def level_db(block: np.ndarray) -> float:
    """Root-mean-square level in dB under full scale, ``QUIETEST_DB`` to 0."""
    power = float(np.mean(np.square(block, dtype=np.float64)))
    return min(0.0, max(QUIETEST_DB, 10.0 * float(np.log10(max(power, 1e-30)))))
