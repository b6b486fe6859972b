"""The codec's thread: from the microphone's ring through the engine to the speaker's ring."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from .codec import CodecPath
from .engine import LoopbackEngine
from .errors import LoopbackError
from .recorder import Recorder
from .ring import SampleRing
from .settings import HIGHEST_COMPLEXITY, LOSS_STEPS

RING_SECONDS = 2.0
"""That a ring holds; only a machine that stands still for so long loses samples in one."""

BACKLOG_PACKETS = 3
"""Packets of input waiting from which the older ones are left out: they would be heard too late,
and coding them would make those behind them late as well."""

POLL_SECONDS = 0.002
"""Between two looks at the input ring when a packet is due; waking up takes 1 % of a core."""

BRIDGE_SECONDS = 0.005
"""Sound left in the queue, beyond what inventing more takes, at which input counts as stalled."""

WARM_UP_PACKETS = 4

DELAY_SHARE = 0.1
"""Weight of the newest measurement in the delay shown: stamps jitter by a device's block."""

SETTLE_SECONDS = 2.0
"""After the start, before the extremes of the delay are kept."""


class DelayMeter:
    """Delay from the microphone to the speaker, by the devices' own time stamps.

    The sound card's driver says when a block's first sample was, or will be, in the air. With
    the position of a sample in both streams that gives its whole way, rings, codec, queue and
    the devices' buffers as the driver knows them.
    """

    def __init__(self) -> None:
        self.now: float | None = None
        """Seconds, smoothed; None before the first measurement."""
        self.least: float | None = None
        self.most: float | None = None
        self._sum, self._count = 0.0, 0

    @property
    def mean(self) -> float | None:
        """Mean since the start, seconds."""
        return self._sum / self._count if self._count else None

    def add(self, captured: float, played: float, settled: bool) -> None:
        """Take the two times of one sample; extremes and mean count once it is settled."""
        delay = played - captured
        self.now = delay if self.now is None else self.now + DELAY_SHARE * (delay - self.now)
        if settled:
            self.least = self.now if self.least is None else min(self.least, self.now)
            self.most = self.now if self.most is None else max(self.most, self.now)
            self._sum, self._count = self._sum + delay, self._count + 1


class LoopbackSession:
    """Run an engine between two rings.

    Parameters
    ----------
    engine : LoopbackEngine
    codec : CodecPath
        The engine's.
    source, sink : SampleRing
        Written by the microphone's callback; read by the speaker's.
    recorder : Recorder, optional
    """

    def __init__(
        self,
        engine: LoopbackEngine,
        codec: CodecPath,
        source: SampleRing,
        sink: SampleRing,
        recorder: Recorder | None = None,
    ) -> None:
        self.engine, self.codec = engine, codec
        self.source, self.sink = source, sink
        self.recorder = recorder
        self.delay = DelayMeter()
        self.failure: BaseException | None = None
        """Why the thread ended, if it ended by itself."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="codec", daemon=True)
        self._loss_steps = sorted({*LOSS_STEPS, codec.loss.percent})

    # -- control, from the main thread

    def warm_up(self) -> None:
        """Run the whole path before anyone listens: the first packets compile and allocate."""
        engine = self.engine
        random = np.random.default_rng(0)
        needed = round(engine.packet_seconds * self.source.rate)
        for _ in range(WARM_UP_PACKETS):
            noise = random.uniform(-0.1, 0.1, needed).astype(np.float32)
            engine.push(noise, lambda: engine.packet_seconds)
        self.codec.conceal()
        engine.reset()

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if something did.

        Raises
        ------
        StreamcodecError, OSError
            The codec or the recording failed.
        """
        if self.failure is not None:
            raise LoopbackError(
                f"the codec failed: {type(self.failure).__name__}: {self.failure}"
            ) from self.failure
        if self.recorder is not None and self.recorder.failure is not None:
            raise self.recorder.failure

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    @property
    def queued(self) -> float:
        """Seconds of sound waiting in front of the speaker."""
        return self.sink.waiting / self.sink.rate

    def toggle_bypass(self) -> None:
        """Go over to the microphone's own sound, or back."""
        self.engine.bypass = not self.engine.bypass

    def step_bitrate(self, direction: int) -> None:
        """One rung up (1) or down (-1)."""
        present = self.codec.bitrate
        beyond = [r for r in self.codec.rates if (r - present) * direction > 0]
        if beyond:
            self.codec.change(min(beyond, key=lambda r: abs(r - present)), self.codec.complexity)

    def step_complexity(self, direction: int) -> None:
        """One more (1) or less (-1)."""
        wanted = min(HIGHEST_COMPLEXITY, max(0, self.codec.complexity + direction))
        if wanted != self.codec.complexity:
            self.codec.change(self.codec.bitrate, wanted)

    def step_loss(self) -> None:
        """Go to the next step of loss, from the highest to none."""
        present = self.codec.loss.percent
        self.codec.loss.percent = next((p for p in self._loss_steps if p > present), 0.0)

    # -- the codec's thread

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
        except BaseException as error:  # whatever it is, the main thread has to tell
            self.failure = error

    def _step(self) -> None:
        source, engine = self.source, self.engine
        waiting, needed = source.waiting, engine.needed
        packet = engine.packet_seconds * source.rate
        if waiting > needed + BACKLOG_PACKETS * packet:
            engine.skip(source.drop(waiting - needed))
        elif waiting >= needed:
            block = source.pull(needed)
            if self.recorder is not None:
                self.recorder.captured(block)
            self._play(engine.push(block, lambda: self.queued))
            self._measure()
        elif self.queued < self.codec.decode_estimate + BRIDGE_SECONDS:
            sound = engine.bridge()
            self._play(sound)
            if not len(sound):
                self._stop.wait(POLL_SECONDS)
        else:
            left = (needed - waiting) / source.rate
            spare = self.queued - self.codec.decode_estimate - BRIDGE_SECONDS
            self._stop.wait(max(POLL_SECONDS, min(left, spare)))

    def _play(self, sound: np.ndarray) -> None:
        self.sink.push(sound)
        if self.recorder is not None:
            self.recorder.played(sound)

    def _measure(self) -> None:
        captured, played = self.source.stamp(), self.sink.stamp()
        if captured is None or played is None or not self.engine.figures.packets:
            return
        position = self.engine.position * self.source.rate
        self.delay.add(
            captured[1] + (position - captured[0]) / self.source.rate,
            played[1] + (self.sink.written - played[0]) / self.sink.rate,
            self.seconds > SETTLE_SECONDS,
        )

    # -- figures

    def report(self) -> dict[str, Any]:
        """Figures since the start; see ``docs/loopback.md`` for what each means."""
        engine, figures = self.engine, self.engine.figures
        source, sink = self.source.counts, self.sink.counts
        coded = max(1, figures.packets) * engine.packet_seconds
        packets = max(1, figures.packets)

        def milliseconds(seconds: float | None) -> float | None:
            return None if seconds is None else round(1e3 * seconds, 2)

        return {
            "seconds": round(self.seconds, 2),
            "model": self.codec.model_name,
            "bitrate": self.codec.bitrate,
            "complexity": self.codec.complexity,
            "bypass": engine.bypass,
            "loss_percent": self.codec.loss.percent,
            "packets": figures.packets,
            "packets_lost": figures.lost,
            "kbit_s": round(1e-3 * figures.payload_bits / coded, 3),
            "kbit_s_with_headers": round(1e-3 * figures.packet_bits / coded, 3),
            "real_time_factor": round((figures.encode_seconds + figures.decode_seconds) / coded, 3),
            "encode_ms": milliseconds(figures.encode_seconds / packets),
            "encode_ms_max": milliseconds(figures.encode_seconds_max),
            "decode_ms": milliseconds(figures.decode_seconds / packets),
            "deadline_misses": figures.deadline_misses,
            "searches_cut_short": figures.curtailed,
            "delay_ms": milliseconds(self.delay.mean),
            "delay_ms_min": milliseconds(self.delay.least),
            "delay_ms_max": milliseconds(self.delay.most),
            "algorithmic_delay_ms": milliseconds(self.codec.algorithmic_delay),
            "slack_target_ms": milliseconds(engine.control.target),
            "speed_ppm": round(1e6 * engine.control.bend),
            "underruns": sink.events,
            "underrun_ms": milliseconds(sink.missing / self.sink.rate),
            "overruns": source.events,
            "bridged_packets": figures.bridged,
            "skipped_ms": milliseconds(figures.skipped_seconds),
            "cut_ms": milliseconds(figures.cut_seconds),
            "driver_input_losses": source.driver_events,
            "driver_output_losses": sink.driver_events,
        }
