"""Speech encoder stream: samples in, packets out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamcodec.core.distortion import Distortion
from streamcodec.core.packet import Packet, StreamHeader
from streamcodec.core.search import Budget, LatentSearch
from streamcodec.errors import InputError
from streamcodec.nn.layers import State
from streamcodec.speech import geometry
from streamcodec.speech.distance import loudness_distance
from streamcodec.speech.frontend import MelFrontEnd
from streamcodec.speech.model import SpeechModel, load_speech_model
from streamcodec.speech.rate import BitControl, RateControl
from streamcodec.speech.resample import StreamingInput

BUDGETS = (
    Budget(0),
    Budget(0, 8),
    Budget(0, 32),
    Budget(0, 64),
    Budget(0, 20, rounds=2),
    Budget(0, 32, rounds=2),
    Budget(1, 32, rounds=2),
    Budget(1, 32, rounds=3),
    Budget(4, 48, rounds=4),
    Budget(8, 64, rounds=6),
    Budget(16, 128, rounds=12),
)
"""Search budget of each complexity, 0 to 10. On a processor with fast bfloat16 a gradient step
costs as much as 30 candidates, and settlement lowers the cost more: gradient steps (and with them
ADMM) begin where settlement alone has little left to gain."""

DEFAULT_REFRESH = 25
"""Packets between entropy refreshes: two seconds, the grid of seek points in a file."""

MAX_SYMBOL = 32_767
"""Largest symbol that the bitstream carries."""


class SpeechEncoder:
    """Encode speech as it comes.

    Parameters
    ----------
    bitrate : int
        Average payload aimed at, bit/s (600 to 16 000; the model's rungs are 1000 to 6000).
    complexity : int or Budget
        0 (the encoder network's guess alone) to 10; sets the search budget of a packet. A
        budget of the caller's own may stand in its place.
    quantizer : {"admm", "uniform"}
        How the latents of gradient steps become integers; complexities below 6 make none.
    low_delay : bool
        40 ms packets instead of 80 ms.
    refresh : int
        Packets between points where a decoder can start and loss ends; 1 makes every packet
        decodable by itself, as a lossy transport needs.
    sample_rate, channels : int
        Of the blocks pushed; they are resampled to 16 kHz and mixed to mono.
    model : str or Path, optional
        Name or folder of a model; the default model if omitted.
    distortion : callable
        What the search calls close; see :mod:`streamcodec.speech.distance`.
    control : BitControl, optional
        What hands out bits, in place of the controller that holds ``bitrate`` on average;
        :class:`~streamcodec.speech.rate.FixedPrice` lets the rate follow the signal.
    deadline : float, optional
        Seconds that encoding one packet may take; the search then gives up iterations rather
        than be late. Packets depend on the machine's speed if this is set.
    clock : callable
        Time source of the deadline.

    Raises
    ------
    InputError
        If an argument is out of range.
    ModelError
        If the model is missing or damaged.
    """

    def __init__(
        self,
        bitrate: int = 2000,
        *,
        complexity: int | Budget = 6,
        quantizer: str = "admm",
        low_delay: bool = False,
        refresh: int = DEFAULT_REFRESH,
        sample_rate: int = geometry.SAMPLE_RATE,
        channels: int = 1,
        model: str | Path | SpeechModel | None = None,
        distortion: Distortion = loudness_distance,
        control: BitControl | None = None,
        deadline: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if isinstance(complexity, int) and 0 <= complexity < len(BUDGETS):
            complexity = BUDGETS[complexity]
        if not isinstance(complexity, Budget):
            raise InputError(f"complexity must be 0 to {len(BUDGETS) - 1}, not {complexity!r}")
        if deadline is not None and deadline <= 0:
            raise InputError(f"deadline must be positive seconds, not {deadline!r}")
        self.model = model if isinstance(model, SpeechModel) else load_speech_model(model)
        self._input = StreamingInput(sample_rate, channels)
        self._rate = control or RateControl(bitrate, self.model.rates)
        self._search = LatentSearch(quantizer, complexity)
        self._distortion = distortion
        self._deadline = deadline
        self._clock = clock
        self._steps = (
            geometry.LOW_DELAY_STEPS_PER_PACKET if low_delay else geometry.STEPS_PER_PACKET
        )
        self.header = StreamHeader(
            identity=self.model.identity, steps_per_packet=self._steps, refresh=refresh
        )
        self._front = MelFrontEnd(self.model.filterbank)
        self.reset()
        # Kernels are chosen and compiled at their first use; have that now, not in a live stream.
        self._take(np.zeros(2 * self.frame_size, np.float32))
        self.reset()

    @property
    def sample_rate(self) -> int:
        """Sampling rate inside the codec, Hz."""
        return geometry.SAMPLE_RATE

    @property
    def frame_size(self) -> int:
        """Samples at 16 kHz in a packet."""
        return self._steps * geometry.STEP_SAMPLES

    @property
    def algorithmic_delay(self) -> int:
        """Samples at 16 kHz that a sample waits at most between ``push`` and being decoded.

        1760 (110 ms) with 80 ms packets, 1120 (70 ms) with 40 ms packets; resampling from other
        rates adds 4 to 8 ms.
        """
        return self.frame_size + geometry.OVERLAP + self._input.delay

    def reset(self) -> None:
        """Begin a new stream; nothing of the old one is remembered."""
        self._input.reset()
        self._front.reset()
        self._rate.reset()
        self._mel = np.zeros((0, geometry.N_MELS), np.float32)
        self._encoder_state: State | None = None
        self._generator_state: State | None = None
        self._context = self.model.prior.initial_context()
        self._correction: Tensor | None = None
        self._count = 0
        self._ended = False
        self.samples_in = 0
        """Samples at 16 kHz taken in so far."""
        self.iterations = 0
        """Iterations that the last packet's search made."""
        self.out_of_time = False
        """Whether the deadline cut the last packet's search short."""

    def push(self, block: np.ndarray) -> list[Packet]:
        """Take a block of samples, give the packets that it completes.

        Parameters
        ----------
        block : ndarray
            float32 or float64 in [-1, 1], int16 or int32; shape ``(n,)`` or ``(n, channels)``;
            any n.

        Raises
        ------
        InputError
            If the block cannot be encoded; the stream stands as before it.
        """
        if self._ended:
            raise InputError("the stream has been flushed; call reset() to begin a new one")
        return self._take(self._input.push(block))

    def flush(self) -> list[Packet]:
        """End the stream: encode what is left, padded with silence so that it can be heard."""
        if self._ended:
            return []
        packets = self._take(self._input.flush())
        self._ended = True
        if self.samples_in == 0:
            return packets
        # The decoder's output ends OVERLAP samples before its last step does.
        wanted = -(-(self.samples_in + geometry.OVERLAP) // self.frame_size) * self.frame_size
        total = self.samples_in
        packets += self._take(np.zeros(wanted - total, np.float32))
        self.samples_in = total
        return packets

    def _take(self, samples: np.ndarray) -> list[Packet]:
        self.samples_in += len(samples)
        per_packet = self._steps * geometry.FRAMES_PER_LATENT
        packets = []
        # A packet's worth at a time keeps memory flat whatever is pushed.
        for start in range(0, len(samples), self.frame_size):
            frames = self._front.push(samples[start : start + self.frame_size])
            self._mel = np.concatenate([self._mel, frames])
            while len(self._mel) >= per_packet:
                packets.append(self._encode(self._mel[:per_packet]))
                self._mel = self._mel[per_packet:]
        return packets

    def _encode(self, mel: np.ndarray) -> Packet:
        model = self.model
        timer = _Timer(self._deadline, self._clock)
        allowance = self._rate.next()
        gain = model.gains[allowance.rung]
        refresh = self._count % self.header.refresh == 0
        if refresh:
            self._context = model.prior.initial_context()
        target = torch.from_numpy(np.ascontiguousarray(mel))[None]
        with torch.no_grad():
            latents, self._encoder_state = model.encoder(target, self._encoder_state)
        chunk = _Chunk(
            model, target, self._generator_state, gain, self._context, allowance.rung,
            self._distortion,
        )  # fmt: skip
        found = self._search(
            chunk,
            latents[0] * gain,
            # Trained on the mean over a step; here distortion is the mean over all of them.
            model.trade_offs[allowance.rung] * allowance.price / self._steps,
            warm_start=self._correction,
            expired=timer,
        )
        self.iterations, self.out_of_time = found.iterations, timer.passed
        self._correction = found.correction
        lattice = found.symbols.clamp(-MAX_SYMBOL, MAX_SYMBOL)
        symbols = lattice.to(torch.int32).numpy()
        payload, self._context = model.prior.encode(symbols, self._context, allowance.rung)
        with torch.no_grad():
            # The decoder's own state, run forward on what the decoder will read.
            _, self._generator_state = model.generator(lattice[None] / gain, self._generator_state)
        packet = Packet.build(
            payload,
            rate=allowance.rung,
            refresh=refresh,
            sequence=self._count,
            duration=self.frame_size / geometry.SAMPLE_RATE,
        )
        self._rate.spend(packet.bits, packet.duration)
        self._count += 1
        return packet


class _Timer:
    """Says whether a packet's time is over, and remembers having said so."""

    def __init__(self, seconds: float | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self.passed = False

    def __call__(self) -> bool:
        if self._end is not None and self._clock() >= self._end:
            self.passed = True
        return self.passed


class _Chunk:
    """One packet's search problem: mel distance and bits as functions of the latents."""

    def __init__(
        self,
        model: SpeechModel,
        target: Tensor,
        state: State | None,
        gain: Tensor,
        context: np.ndarray,
        rung: int,
        distortion: Distortion,
    ) -> None:
        self._model = model
        self._target = target
        self._state = None if state is None else [s.to(model.search_dtype) for s in state]
        self._gain = gain
        self._past = torch.from_numpy(np.asarray(context, np.float32))[None]
        self._rung = torch.tensor([rung])
        self._distortion = distortion

    def pictures(self, latents: Tensor) -> Tensor:
        """G's mel frames for candidates ``(n, steps, dim)``, ``(n, frames, bands)``."""
        n = latents.shape[0]
        state = self._state
        if state is not None and n > 1:
            state = [s.expand(n, -1, -1) for s in state]
        wanted = (latents / self._gain).to(self._model.search_dtype)
        pictures, _ = self._model.search_generator(wanted, state)
        return pictures.float()

    def distance(self, pictures: Tensor) -> Tensor:
        """Distance of mel frames from the target."""
        return self._distortion(pictures, self._target)

    def bits(self, latents: Tensor) -> Tensor:
        """Bits under the prior in floating point: close to the coder's, and differentiable."""
        n = latents.shape[0]
        rung = self._rung.expand(n)
        past = self._past.expand(n, -1, -1)
        return self._model.search_prior.bits(latents, latents, past, rung).sum(dim=(1, 2))
