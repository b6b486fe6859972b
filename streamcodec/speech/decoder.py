"""Speech decoder stream: packets in, samples out; lost packets are concealed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from streamcodec.core.packet import Packet, StreamHeader, parse_packet
from streamcodec.errors import CorruptPacketError, FormatError, InputError, ModelMismatchError
from streamcodec.nn.layers import State
from streamcodec.speech import geometry
from streamcodec.speech.concealment import Concealment
from streamcodec.speech.model import SpeechModel, load_speech_model
from streamcodec.speech.phase import StreamingPhase
from streamcodec.speech.postfilter import DEFAULT_STRENGTH, ContrastFilter
from streamcodec.speech.vocoders import DEFAULT_VOCODER, VOCODERS

FARTHEST_FOLLOWING = 4
"""Packets over which a gap is bridged; a wider one says nothing about what was between."""


class _Synthesis(Protocol):
    def push(self, mel: np.ndarray) -> np.ndarray: ...

    def flush(self) -> np.ndarray: ...

    def reset(self) -> None: ...


class NeuralSynthesis:
    """The vocoder's spectra, refined until they agree with the mel frames.

    The vocoder alone misses the mel frames by more than the codec does; a few alternations
    (:mod:`streamcodec.speech.phase`) from its spectra bring the sound back to them.
    """

    def __init__(self, model: SpeechModel) -> None:
        self._vocoder = model.vocoder
        # All of the wanted magnitude is the estimate's own: the vocoder's fine structure stays.
        self._refinement = StreamingPhase(model.filterbank, mel_weight=1.0)
        self._state: State | None = None

    def push(self, mel: np.ndarray) -> np.ndarray:
        """Turn mel ``(frames, 80)`` into the samples that they complete."""
        with torch.no_grad():
            spectra, self._state = self._vocoder(torch.from_numpy(mel)[None], self._state)
        return self._refinement.push(mel, spectra[0].numpy())

    def flush(self) -> np.ndarray:
        """The samples that were still waiting for frames."""
        return self._refinement.flush()

    def reset(self) -> None:
        """Begin a new stream."""
        self._refinement.reset()
        self._state = None


def _synthesis(vocoder: str, model: SpeechModel) -> _Synthesis:
    if vocoder == "neural":
        return NeuralSynthesis(model)
    return StreamingPhase(model.filterbank)


class SpeechDecoder:
    """Decode packets as they come.

    Parameters
    ----------
    header : StreamHeader or bytes, optional
        Header of the stream, from ``SpeechEncoder.header``. Without one the default profile of
        the loaded model is assumed.
    vocoder : {"griffin-lim", "neural"}
        ``"griffin-lim"`` reconstructs phase without any weights of a vocoder.
    postfilter : float
        Strength of :class:`streamcodec.speech.postfilter.ContrastFilter`, 0 to 1; 0 switches it
        off.
    model : str or Path, optional
        Name or folder of a model; the default model if omitted.

    Raises
    ------
    InputError
        If the vocoder is unknown or the strength out of range.
    FormatError
        If ``header`` is not a header of ours.
    ModelMismatchError
        If the stream was made with another model.
    """

    def __init__(
        self,
        header: StreamHeader | bytes | None = None,
        *,
        vocoder: str = DEFAULT_VOCODER,
        postfilter: float = DEFAULT_STRENGTH,
        model: str | Path | SpeechModel | None = None,
    ) -> None:
        self.model = model if isinstance(model, SpeechModel) else load_speech_model(model)
        if header is None:
            header = StreamHeader(
                identity=self.model.identity, steps_per_packet=geometry.STEPS_PER_PACKET, refresh=1
            )
        elif not isinstance(header, StreamHeader):
            header = StreamHeader.from_bytes(header)
        if header.identity != self.model.identity:
            raise ModelMismatchError(
                f"the stream was made with model {header.identity.hex()}, but the model loaded "
                f"is {self.model.name} ({self.model.identity.hex()}); load the stream's model"
            )
        if vocoder not in VOCODERS:
            raise InputError(f"vocoder must be one of {VOCODERS}, not {vocoder!r}")
        if not 0.0 <= postfilter <= 1.0:
            raise InputError(f"postfilter must be 0 to 1, not {postfilter!r}; 0 switches it off")
        self.header = header
        self._postfilter = ContrastFilter(postfilter)
        self._synthesis = _synthesis(vocoder, self.model)
        self._concealment = Concealment(
            self.model.prior, self.model.gains, self.model.generator.lost
        )
        self.reset()
        # Kernels are chosen and compiled at their first use; have that now, not in a live stream.
        self.conceal()
        self.reset()

    @property
    def sample_rate(self) -> int:
        """Sampling rate of the output, Hz."""
        return geometry.SAMPLE_RATE

    @property
    def frame_size(self) -> int:
        """Samples that a packet stands for."""
        return self.header.steps_per_packet * geometry.STEP_SAMPLES

    @property
    def in_step(self) -> bool:
        """Whether the next packet can be decoded even if it is no refresh packet."""
        return self._context is not None

    def reset(self) -> None:
        """Begin a new stream; nothing of the old one is remembered."""
        self._synthesis.reset()
        self._concealment.reset()
        self._generator_state: State | None = None
        self._context: np.ndarray | None = None
        self._expected = 0

    def push(self, packet: Packet | bytes) -> np.ndarray:
        """Decode one packet.

        A packet that depends on one that never came cannot be decoded; until the next refresh
        packet such packets are concealed, so the output never falls out of time.

        Parameters
        ----------
        packet : Packet or bytes
            As the encoder gave it.

        Returns
        -------
        ndarray
            float32, ``(frame_size,)``; 480 samples fewer for the first packet of a stream.

        Raises
        ------
        FormatError
            If the bytes are damaged. The decoder stands as before; call :meth:`conceal`.
        """
        parsed = packet if isinstance(packet, Packet) else parse_packet(bytes(packet))
        context = self._context if parsed.sequence == self._expected else None
        if parsed.refresh:
            context = self.model.prior.initial_context()
        if context is None:
            self._expected = parsed.sequence
            return self.conceal()
        symbols, self._context = self._symbols(parsed, context)
        self._expected = (parsed.sequence + 1) % Packet.SEQUENCE_MODULUS
        self._concealment.heard(symbols, parsed.rate)
        return self._synthesize(self._latents(symbols, parsed.rate), fade=None)

    def conceal(self, following: Packet | bytes | None = None) -> np.ndarray:
        """Sound in place of a packet that never came, as long as a packet's.

        Parameters
        ----------
        following : Packet or bytes, optional
            The next packet that has come, if it is already here: the gap is then bridged instead
            of faded out. It must be pushed as well when its turn comes. One that is damaged, no
            refresh packet, or more than ``FARTHEST_FOLLOWING`` packets away is of no use.
        """
        missing, ahead = self._look_ahead(following)
        self._context = None
        self._expected = (self._expected + 1) % Packet.SEQUENCE_MODULUS
        steps = self.header.steps_per_packet
        if ahead is None:
            latents, fade = self._concealment.invent(steps)
        else:
            latents, fade = self._concealment.bridge(steps, ahead, missing * steps)
        return self._synthesize(latents, fade)

    def flush(self) -> np.ndarray:
        """The last samples, which were still waiting for a packet to overlap with."""
        return self._synthesis.flush()

    def _symbols(self, packet: Packet, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Symbols ``(steps, dim)`` of a packet, and the entropy context behind it."""
        rung = packet.rate
        if rung >= len(self.model.rates):
            raise CorruptPacketError(
                f"expected a rung below {len(self.model.rates)}, found {rung}; conceal this packet"
            )
        return self.model.prior.decode(packet.payload, self.header.steps_per_packet, context, rung)

    def _latents(self, symbols: np.ndarray, rung: int) -> Tensor:
        return torch.from_numpy(symbols.astype(np.float32)) / self.model.gains[rung]

    def _look_ahead(self, following: Packet | bytes | None) -> tuple[int, Tensor | None]:
        """How many packets are missing before ``following``, and its first latent ``(dim,)``."""
        if following is None:
            return 0, None
        try:
            packet = following if isinstance(following, Packet) else parse_packet(bytes(following))
            # A packet whose turn it is: a player wants to fill time before it.
            missing = max(1, (packet.sequence - self._expected) % Packet.SEQUENCE_MODULUS)
            if not packet.refresh or missing > FARTHEST_FOLLOWING:
                return 0, None
            symbols, _ = self._symbols(packet, self.model.prior.initial_context())
        except FormatError:
            return 0, None
        return missing, self._latents(symbols[0], packet.rate)

    def _synthesize(self, latents: Tensor, fade: Tensor | None) -> np.ndarray:
        with torch.no_grad():
            mel, self._generator_state = self.model.generator(latents[None], self._generator_state)
            frames = self._postfilter(mel[0])
        if fade is not None:
            frames = frames - fade[:, None]
        return self._synthesis.push(frames.numpy())
