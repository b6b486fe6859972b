"""Lyra V2 as a peer, from the three TensorFlow Lite files of its repository.

Frames of 20 ms pass through the SoundStream encoder to 64 features, through a residual vector
quantizer of 4 bits a stage to 16, 30 or 46 indices, back to features, and through the LyraGAN
decoder. The files (``soundstream_encoder.tflite``, ``quantizer.tflite``, ``lyragan.tflite``) are
in the folder ``model_coeffs`` of google/lyra.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers import DecodeFrame, EncodeFrame, FrameCodec
from bench.signals import INT16_SCALE, SAMPLE_RATE, to_int16

ENCODER, QUANTIZER, DECODER = FILES = (
    "soundstream_encoder.tflite",
    "quantizer.tflite",
    "lyragan.tflite",
)
BITS_PER_STAGE = 4
MAX_STAGES = 46
UNUSED = -1
"""Index that the quantizer takes for a stage that was not sent."""


class Lyra(FrameCodec):
    """Lyra V2 at 3200, 6000 or 9200 bit/s.

    Parameters
    ----------
    bitrate : int
        Bits a second.
    folder : Path or None
        With the three model files.
    """

    rate = SAMPLE_RATE
    frame_length = SAMPLE_RATE // 50

    def __init__(self, bitrate: int, folder: Path | None) -> None:
        self.name = f"lyra_{bitrate}"
        self.stages = bitrate // 50 // BITS_PER_STAGE
        self.folder = folder

    def available(self) -> str | None:
        """Name what is missing: the folder, a file or the interpreter."""
        if self.folder is None:
            return "no models given (--lyra-models FOLDER with the .tflite files of google/lyra)"
        for name in FILES:
            if not (self.folder / name).is_file():
                return f"no {name} in {self.folder}"
        if importlib.util.find_spec("ai_edge_litert") is None:
            return "no Python package ai-edge-litert (see bench/requirements.txt)"
        return None

    @property
    def version(self) -> str:
        """Interpreter and size of the models."""
        sizes = [(self._folder() / name).stat().st_size for name in FILES]
        return f"1:litert {metadata.version('ai-edge-litert')}:{sizes}"

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Load the three models, with fresh state."""
        analyse = self._network(ENCODER)
        synthesise = self._network(DECODER)
        quantizer = self._interpreter(QUANTIZER)
        quantize = quantizer.get_signature_runner("encode")
        dequantize = quantizer.get_signature_runner("decode")
        stages = np.array(self.stages, np.int32)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            features = analyse(frame.astype(np.float32) / np.float32(INT16_SCALE))
            found = quantize(input_frames=features.reshape(1, 1, -1), num_quantizers=stages)
            indices = np.asarray(found["output_0"]).reshape(-1)[: self.stages]
            return indices.astype(np.uint8).tobytes(), BITS_PER_STAGE * self.stages

        def decode(packet: bytes) -> NDArray[np.int16]:
            indices = np.full((MAX_STAGES, 1, 1), UNUSED, np.int32)
            indices[: len(packet), 0, 0] = np.frombuffer(packet, np.uint8)
            features = dequantize(encoding_indices=indices)["output_0"]
            return to_int16(synthesise(np.asarray(features, np.float32)))

        return encode, decode

    def _folder(self) -> Path:
        if self.folder is None:
            raise OSError(f"{self.name}: {self.available()}")
        return self.folder

    def _interpreter(self, name: str) -> Any:
        path = self._folder() / name  # missing models are named before a missing package is
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(model_path=str(path), num_threads=1)

    def _network(self, name: str) -> Any:
        """A function through a model with one input and one output."""
        interpreter = self._interpreter(name)
        interpreter.allocate_tensors()
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

        def run(values: NDArray[np.float32]) -> NDArray[np.float32]:
            interpreter.set_tensor(source["index"], values.reshape(source["shape"]))
            interpreter.invoke()
            return interpreter.get_tensor(target["index"]).reshape(-1)

        return run
