"""Peers of the internet: Opus and Speex.

Each class says where its library is looked for and how one frame passes through it. The numbers
of modes and requests are those of the libraries' public headers.
"""

from __future__ import annotations

import ctypes
import importlib.util
from ctypes import Structure, byref, c_char_p, c_int, c_int32, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.native import MAX_PACKET, Handle, NativeCodec, shorts
from bench.peers import NARROWBAND_RATE, DecodeFrame, EncodeFrame
from bench.signals import SAMPLE_RATE


def _bundled_opus() -> tuple[str, ...]:
    """Where libopus is inside PyAV's wheel, which is newer than what systems carry."""
    spec = importlib.util.find_spec("av")
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent.parent / "av.libs"
    return tuple(str(path) for path in sorted(folder.glob("libopus-*.so*")))


class Opus(NativeCodec):
    """Opus, VBR, speech application, 20 ms frames, 16 kHz in and out, highest complexity."""

    rate = SAMPLE_RATE
    frame_length = SAMPLE_RATE // 50
    packages = "libopus0, or PyPI: av"

    APPLICATION_VOIP = 2048
    SET_BITRATE = 4002
    SET_COMPLEXITY = 4010

    def __init__(self, bitrate: int) -> None:
        self.name = f"opus_{bitrate / 1000:g}k"
        self.bitrate = bitrate
        self.libraries = ((*_bundled_opus(), "libopus.so.0", "opus"),)

    @property
    def version(self) -> str:
        """What the library says of itself."""
        (library,) = self.loaded()
        library.opus_get_version_string.restype = c_char_p
        return f"1:{library.opus_get_version_string().decode()}"

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder."""
        (library,) = self.loaded()
        for create in (library.opus_encoder_create, library.opus_decoder_create):
            create.restype = c_void_p
        error = c_int()
        encoder = Handle(
            library.opus_encoder_create(self.rate, 1, self.APPLICATION_VOIP, byref(error)),
            library.opus_encoder_destroy,
            "an Opus encoder",
        )
        library.opus_encoder_ctl(encoder.pointer, self.SET_BITRATE, c_int32(self.bitrate))
        library.opus_encoder_ctl(encoder.pointer, self.SET_COMPLEXITY, c_int32(10))
        decoder = Handle(
            library.opus_decoder_create(self.rate, 1, byref(error)),
            library.opus_decoder_destroy,
            "an Opus decoder",
        )
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = library.opus_encode(
                encoder.pointer, shorts(frame), len(frame), buffer, c_int32(MAX_PACKET)
            )
            if size < 0:
                raise OSError(f"opus_encode gave error {size}")
            return buffer.raw[:size], 8 * size

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            size = library.opus_decode(
                decoder.pointer, packet, c_int32(len(packet)), shorts(out), len(out), 0
            )
            if size != len(out):
                raise OSError(f"opus_decode gave {size}, expected {len(out)} samples")
            return out

        return encode, decode


class _SpeexBits(Structure):
    _fields_ = [
        ("chars", c_void_p),
        ("nbBits", c_int),
        ("charPtr", c_int),
        ("bitPtr", c_int),
        ("owner", c_int),
        ("overflow", c_int),
        ("buf_size", c_int),
        ("reserved1", c_int),
        ("reserved2", c_void_p),
    ]


class Speex(NativeCodec):
    """Speex (CELP) at a fixed quality, 20 ms frames, decoder with its enhancer."""

    libraries = (("libspeex.so.1", "speex"),)
    packages = "libspeex1"

    SET_ENHANCEMENT = 0
    SET_QUALITY = 4
    SET_COMPLEXITY = 16

    def __init__(self, name: str, wideband: bool, quality: int) -> None:
        self.name = name
        self.mode = int(wideband)
        self.quality = quality
        self.rate = SAMPLE_RATE if wideband else NARROWBAND_RATE
        self.frame_length = self.rate // 50

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder, each with its bit buffer."""
        (library,) = self.loaded()
        library.speex_lib_get_mode.restype = c_void_p
        library.speex_encoder_init.restype = c_void_p
        library.speex_decoder_init.restype = c_void_p
        mode = c_void_p(library.speex_lib_get_mode(self.mode))
        encoder = Handle(
            library.speex_encoder_init(mode), library.speex_encoder_destroy, "a Speex encoder"
        )
        decoder = Handle(
            library.speex_decoder_init(mode), library.speex_decoder_destroy, "a Speex decoder"
        )
        for handle, request, value in (
            (encoder, self.SET_QUALITY, self.quality),
            (encoder, self.SET_COMPLEXITY, 10),
        ):
            library.speex_encoder_ctl(handle.pointer, request, byref(c_int(value)))
        library.speex_decoder_ctl(decoder.pointer, self.SET_ENHANCEMENT, byref(c_int(1)))
        written, read = _SpeexBits(), _SpeexBits()
        for bits in (written, read):
            library.speex_bits_init(byref(bits))
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            library.speex_bits_reset(byref(written))
            # The encoder filters its input in place.
            library.speex_encode_int(encoder.pointer, shorts(frame.copy()), byref(written))
            bits = int(written.nbBits)
            size = library.speex_bits_write(byref(written), buffer, MAX_PACKET)
            return buffer.raw[:size], bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.speex_bits_read_from(byref(read), packet, len(packet))
            if library.speex_decode_int(decoder.pointer, byref(read), shorts(out)) != 0:
                raise OSError("speex_decode_int did not accept a packet")
            return out

        return encode, decode
