"""Speech decoder stream: packets in, samples out; lost packets are concealed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from streamcodec.core.packet import Packet, StreamHeader, parse_packet
from streamcodec.errors import CorruptPacketError, InputError, ModelMismatchError
from streamcodec.nn.layers import State
from streamcodec.speech import geometry
from streamcodec.speech.concealment import Concealment
from streamcodec.speech.model import SpeechModel, load_speech_model

VOCODERS = ("neural", "griffin-lim")
"""Ways back from mel frames to sound."""


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
        from streamcodec.speech.phase import StreamingPhase

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
    from streamcodec.speech.phase import StreamingPhase  # compiles code that few need

    return StreamingPhase(model.filterbank)


class SpeechDecoder:
    """Decode packets as they come.

    Parameters
    ----------
    header : StreamHeader or bytes, optional
        Header of the stream, from ``SpeechEncoder.header``. Without one the default profile of
        the loaded model is assumed.
    vocoder : {"neural", "griffin-lim"}
        ``"griffin-lim"`` reconstructs phase without any weights of a vocoder.
    model : str or Path, optional
        Name or folder of a model; the default model if omitted.

    Raises
    ------
    InputError
        If the vocoder is unknown.
    FormatError
        If ``header`` is not a header of ours.
    ModelMismatchError
        If the stream was made with another model.
    """

    def __init__(
        self,
        header: StreamHeader | bytes | None = None,
        *,
        vocoder: str = "neural",
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
        self.header = header
        self._synthesis = _synthesis(vocoder, self.model)
        self._concealment = Concealment(self.model.latent_dim)
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
        rung = parsed.rate
        if rung >= len(self.model.rates):
            raise CorruptPacketError(
                f"expected a rung below {len(self.model.rates)}, found {rung}; conceal this packet"
            )
        symbols, self._context = self.model.prior.decode(
            parsed.payload, self.header.steps_per_packet, context, rung
        )
        self._expected = (parsed.sequence + 1) % Packet.SEQUENCE_MODULUS
        latents = torch.from_numpy(symbols.astype(np.float32)) / self.model.gains[rung]
        self._concealment.heard(latents)
        return self._synthesize(latents, fade=None)

    def conceal(self) -> np.ndarray:
        """Sound in place of a packet that never came, as long as a packet's."""
        self._context = None
        self._expected = (self._expected + 1) % Packet.SEQUENCE_MODULUS
        latents, fade = self._concealment.invent(self.header.steps_per_packet)
        return self._synthesize(latents, fade)

    def flush(self) -> np.ndarray:
        """The last samples, which were still waiting for a packet to overlap with."""
        return self._synthesis.flush()

    def _synthesize(self, latents: Tensor, fade: Tensor | None) -> np.ndarray:
        with torch.no_grad():
            mel, self._generator_state = self.model.generator(latents[None], self._generator_state)
        frames = mel[0]
        if fade is not None:
            frames = frames - fade[:, None]
        return self._synthesis.push(frames.numpy())
