"""Encoder, simulated transport and decoder: a packet's worth of sound in, as much out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import streamcodec

from .deadline import PacketClock
from .loss import PacketLoss
from .settings import LoopbackSettings

DEADLINE_SHARE = 0.6
"""Share of a packet's time that its search may take at most; decoding (0.12) and the encoder
network have to fit beside it."""

PRIMING_FRAMES = 2
"""Packets of past sound that a new encoder hears before it takes over: more than the overlap of
its frames, and about what its networks remember."""


@dataclass(frozen=True)
class Coded:
    """One packet's way.

    Attributes
    ----------
    sound : ndarray
        float32 at 16 kHz; as long as a packet, but for the first of a stream.
    payload_bits, packet_bits : int
        Without and with the packet's prefix.
    lost : bool
        Whether ``sound`` was concealed.
    encode_seconds, decode_seconds : float
        How long they took.
    curtailed : bool
        Whether the search was cut short by its deadline.
    """

    sound: np.ndarray
    payload_bits: int
    packet_bits: int
    lost: bool
    encode_seconds: float
    decode_seconds: float
    curtailed: bool


class CodecPath:
    """The codec, with settings that may be changed while it runs.

    Parameters
    ----------
    settings : LoopbackSettings
    clock : callable
        Time of deadlines and measurements.

    Raises
    ------
    InputError
        A setting is out of range.
    ModelError
        The model is missing or damaged.
    """

    def __init__(
        self, settings: LoopbackSettings, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._settings = settings
        self._clock = clock
        self.loss = PacketLoss(settings.loss, settings.burst, settings.seed)
        self._model: Any = settings.model
        self._wanted = (settings.bitrate, settings.complexity)
        self._encoder, self._timer = self._make(*self._wanted)
        self._model = self._encoder.model
        self._decoder = streamcodec.SpeechDecoder(
            self._encoder.header, vocoder=settings.vocoder, model=self._model
        )
        self._recent: list[np.ndarray] = []
        self._maker: threading.Thread | None = None
        self._made: tuple[tuple[int, int], streamcodec.SpeechEncoder, PacketClock] | None = None
        self._decode_estimate = 0.0

    def _make(self, bitrate: int, complexity: int) -> tuple[streamcodec.SpeechEncoder, PacketClock]:
        timer = PacketClock(DEADLINE_SHARE * self._settings.packet_seconds, self._clock)
        encoder = streamcodec.SpeechEncoder(
            bitrate,
            complexity=complexity,
            low_delay=self._settings.low_delay,
            refresh=1,  # every packet may be lost
            model=self._model,
            deadline=timer.deadline,
            clock=timer,
        )
        return encoder, timer

    @property
    def frame_size(self) -> int:
        """Samples at 16 kHz in a packet."""
        return self._encoder.frame_size

    @property
    def sample_rate(self) -> int:
        """Of the sound, Hz."""
        return self._encoder.sample_rate

    @property
    def algorithmic_delay(self) -> float:
        """Seconds that a sample waits for its packet and for what overlaps with it."""
        return self._encoder.algorithmic_delay / self._encoder.sample_rate

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return self._encoder.model.name

    @property
    def rates(self) -> tuple[int, ...]:
        """Bit rates that the model was trained for, ascending."""
        return self._encoder.model.rates

    @property
    def bitrate(self) -> int:
        """Bit rate asked for, bit/s."""
        return self._wanted[0]

    @property
    def complexity(self) -> int:
        """Search budget asked for."""
        return self._wanted[1]

    @property
    def decode_estimate(self) -> float:
        """Seconds that decoding a packet is expected to take, on the safe side."""
        return self._decode_estimate

    def change(self, bitrate: int, complexity: int) -> None:
        """Ask for other settings; they come into force some packets later.

        The new encoder is made in a thread of its own, since that takes longer than a packet.
        """
        self._wanted = (bitrate, complexity)
        if self._maker is None:
            self._start_making()

    def _start_making(self) -> None:
        wanted = self._wanted

        def make() -> None:
            self._made = (wanted, *self._make(*wanted))

        self._maker = threading.Thread(target=make, name="encoder", daemon=True)
        self._maker.start()

    def _take_over(self) -> None:
        """Go over to a new encoder at a packet's boundary, if one is ready."""
        if self._maker is None or self._maker.is_alive():
            return
        self._maker = None
        made, self._made = self._made, None
        if made is None:
            return
        wanted, encoder, timer = made
        for frame in self._recent:
            timer.allow(0.0)
            encoder.push(frame)
        self._encoder, self._timer = encoder, timer
        if wanted != self._wanted:  # something else was asked for meanwhile
            self._start_making()

    def push(self, frame: np.ndarray, allowed: float) -> Coded:
        """Send ``frame_size`` samples through the codec.

        Parameters
        ----------
        frame : ndarray
            float32 ``(frame_size,)`` at 16 kHz.
        allowed : float
            Seconds that the search may take; what it has not found by then it gives up.
        """
        self._take_over()
        began = self._clock()
        self._timer.allow(allowed)
        (packet,) = self._encoder.push(frame)
        encoded = self._clock()
        curtailed = self._timer.expired
        lost = self.loss()
        sound = self._decoder.conceal() if lost else self._decoder.push(packet)
        decoded = self._clock()
        self._recent = [*self._recent, frame][-PRIMING_FRAMES:]
        # Slower it follows at once, faster slowly.
        self._decode_estimate = max(decoded - encoded, 0.95 * self._decode_estimate)
        return Coded(
            sound, packet.bits, 8 * len(packet), lost, encoded - began, decoded - encoded, curtailed
        )

    def conceal(self) -> np.ndarray:
        """Sound of a packet's length in place of input that did not come."""
        return self._decoder.conceal()

    def reset(self) -> None:
        """Begin a new stream."""
        self._encoder.reset()
        self._decoder.reset()
        self._recent = []
