"""Peers of telephone and radio: AMR, G.729 and Codec2.

Each class says where its library is looked for and how one frame passes through it. The numbers
of modes and requests are those of the libraries' public headers.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_ubyte, c_void_p
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.native import MAX_PACKET, Handle, NativeCodec, shorts
from bench.peers import NARROWBAND_RATE, DecodeFrame, EncodeFrame
from bench.signals import SAMPLE_RATE


class AmrNarrowband(NativeCodec):
    """AMR-NB at one mode, no DTX, 20 ms frames of 8 kHz."""

    rate = NARROWBAND_RATE
    frame_length = NARROWBAND_RATE // 50
    libraries = (("libopencore-amrnb.so.0", "opencore-amrnb"),)
    packages = "libopencore-amrnb0"

    def __init__(self, name: str, mode: int, bits: int) -> None:
        self.name = name
        self.mode = mode
        self.bits = bits

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder."""
        (library,) = self.loaded()
        for create in (library.Encoder_Interface_init, library.Decoder_Interface_init):
            create.restype = c_void_p
        encoder = Handle(
            library.Encoder_Interface_init(0), library.Encoder_Interface_exit, "an AMR-NB encoder"
        )
        decoder = Handle(
            library.Decoder_Interface_init(), library.Decoder_Interface_exit, "an AMR-NB decoder"
        )
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = library.Encoder_Interface_Encode(
                encoder.pointer, self.mode, shorts(frame), buffer, 0
            )
            return buffer.raw[:size], self.bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.Decoder_Interface_Decode(decoder.pointer, packet, shorts(out), 0)
            return out

        return encode, decode


class AmrWideband(NativeCodec):
    """AMR-WB at one mode, no DTX, 20 ms frames of 16 kHz."""

    rate = SAMPLE_RATE
    frame_length = SAMPLE_RATE // 50
    libraries = (
        ("libvo-amrwbenc.so.0", "vo-amrwbenc"),
        ("libopencore-amrwb.so.0", "opencore-amrwb"),
    )
    packages = "libvo-amrwbenc0 libopencore-amrwb0"

    def __init__(self, name: str, mode: int, bits: int) -> None:
        self.name = name
        self.mode = mode
        self.bits = bits

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder."""
        coder, player = self.loaded()
        coder.E_IF_init.restype = c_void_p
        player.D_IF_init.restype = c_void_p
        encoder = Handle(coder.E_IF_init(), coder.E_IF_exit, "an AMR-WB encoder")
        decoder = Handle(player.D_IF_init(), player.D_IF_exit, "an AMR-WB decoder")
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = coder.E_IF_encode(encoder.pointer, self.mode, shorts(frame), buffer, 0)
            return buffer.raw[:size], self.bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            player.D_IF_decode(decoder.pointer, packet, shorts(out), 0)
            return out

        return encode, decode


class Codec2(NativeCodec):
    """Codec2 at one mode, 8 kHz.

    Its decoder draws phases from a random state that the whole process shares and nobody can
    reset: decoded clips differ a little with what was decoded before them.
    """

    rate = NARROWBAND_RATE
    libraries = (("libcodec2.so.1.0", "libcodec2.so.1.2", "codec2"),)
    packages = "libcodec2-1.0"

    MODES: ClassVar = {
        "3200": (0, 64, 160),
        "2400": (1, 48, 160),
        "1600": (2, 64, 320),
        "700C": (8, 28, 320),
    }
    """Mode number, bits and samples of a frame."""

    def __init__(self, mode: str) -> None:
        self.name = f"codec2_{mode}"
        self.mode, self.bits, self.frame_length = self.MODES[mode]

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder, which have the same state type."""
        (library,) = self.loaded()
        library.codec2_create.restype = c_void_p
        encoder, decoder = (
            Handle(library.codec2_create(self.mode), library.codec2_destroy, "a Codec2 state")
            for _ in range(2)
        )
        size = (self.bits + 7) // 8
        buffer = ctypes.create_string_buffer(size)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            library.codec2_encode(encoder.pointer, buffer, shorts(frame))
            return buffer.raw[:size], self.bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.codec2_decode(decoder.pointer, shorts(out), packet)
            return out

        return encode, decode


class G729(NativeCodec):
    """G.729A, 8 kbit/s, 10 ms frames of 8 kHz, no voice activity detection."""

    name = "g729_8k"
    rate = NARROWBAND_RATE
    frame_length = NARROWBAND_RATE // 100
    libraries = (("libbcg729.so.0", "bcg729"),)
    packages = "libbcg729-0"

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder."""
        (library,) = self.loaded()
        library.initBcg729EncoderChannel.restype = c_void_p
        library.initBcg729DecoderChannel.restype = c_void_p
        encoder = Handle(
            library.initBcg729EncoderChannel(c_ubyte(0)),
            library.closeBcg729EncoderChannel,
            "a G.729 encoder",
        )
        decoder = Handle(
            library.initBcg729DecoderChannel(), library.closeBcg729DecoderChannel, "a G.729 decoder"
        )
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = c_ubyte()
            library.bcg729Encoder(encoder.pointer, shorts(frame), buffer, byref(size))
            return buffer.raw[: size.value], 8 * size.value

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.bcg729Decoder(
                decoder.pointer, packet, c_ubyte(len(packet)), c_ubyte(0), c_ubyte(0), c_ubyte(0),
                shorts(out),
            )  # fmt: skip
            return out

        return encode, decode
