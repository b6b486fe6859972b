"""Peers that are C libraries of the system, called through ctypes.

Each class says where its library is looked for and how one frame passes through it. The numbers
of modes and requests are those of the libraries' public headers.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int16, c_int32, c_ubyte, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers import NARROWBAND_RATE, DecodeFrame, EncodeFrame, FrameCodec
from bench.signals import SAMPLE_RATE

MAX_PACKET = 1500
"""Room for one packet, bytes; more than any codec here can write."""


@lru_cache(maxsize=None)
def load_library(*names: str) -> ctypes.CDLL | None:
    """Load the first of ``names`` (a path, a soname or a bare name) that can be loaded."""
    for name in names:
        for candidate in (name, ctypes.util.find_library(name)):
            if candidate is None:
                continue
            try:
                return ctypes.CDLL(candidate)
            except OSError:
                continue
    return None


class NativeCodec(FrameCodec):
    """A frame codec in one or more shared libraries.

    Attributes
    ----------
    libraries : tuple of tuple of str
        For each library that is needed, the names it is tried by.
    packages : str
        What to install, for the message when one is missing.
    """

    libraries: tuple[tuple[str, ...], ...]
    packages: str

    def available(self) -> str | None:
        """Name the library that is missing, if any."""
        for names in self.libraries:
            if load_library(*names) is None:
                return f"no library {names[-1]} (Debian: {self.packages})"
        return None

    @property
    def version(self) -> str:
        """Names of the files that were loaded; sonames change when a library does."""
        return f"1:{','.join(Path(lib._name).name for lib in self._loaded())}"

    def _loaded(self) -> Iterator[ctypes.CDLL]:
        for names in self.libraries:
            library = load_library(*names)
            if library is None:
                raise OSError(f"{self.name}: {self.available()}")
            yield library


def _shorts(samples: NDArray[np.int16]) -> Any:
    return samples.ctypes.data_as(POINTER(c_int16))


class _Handle:
    """A pointer that a C library gave and wants back."""

    def __init__(self, pointer: int | None, close: Any, what: str) -> None:
        if not pointer:
            raise OSError(f"{what} could not be created")
        self.pointer = c_void_p(pointer)
        self._close = close

    def __del__(self) -> None:
        # __init__ may have raised before there was anything to close.
        if hasattr(self, "_close"):
            self._close(self.pointer)


def _bundled_opus() -> tuple[str, ...]:
    """libopus inside PyAV's wheel, which is newer than what systems carry."""
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
        (library,) = self._loaded()
        library.opus_get_version_string.restype = c_char_p
        return f"1:{library.opus_get_version_string().decode()}"

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder."""
        (library,) = self._loaded()
        for create in (library.opus_encoder_create, library.opus_decoder_create):
            create.restype = c_void_p
        error = c_int()
        encoder = _Handle(
            library.opus_encoder_create(self.rate, 1, self.APPLICATION_VOIP, byref(error)),
            library.opus_encoder_destroy,
            "an Opus encoder",
        )
        library.opus_encoder_ctl(encoder.pointer, self.SET_BITRATE, c_int32(self.bitrate))
        library.opus_encoder_ctl(encoder.pointer, self.SET_COMPLEXITY, c_int32(10))
        decoder = _Handle(
            library.opus_decoder_create(self.rate, 1, byref(error)),
            library.opus_decoder_destroy,
            "an Opus decoder",
        )
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = library.opus_encode(
                encoder.pointer, _shorts(frame), len(frame), buffer, c_int32(MAX_PACKET)
            )
            if size < 0:
                raise OSError(f"opus_encode gave error {size}")
            return buffer.raw[:size], 8 * size

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            size = library.opus_decode(
                decoder.pointer, packet, c_int32(len(packet)), _shorts(out), len(out), 0
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
        (library,) = self._loaded()
        library.speex_lib_get_mode.restype = c_void_p
        library.speex_encoder_init.restype = c_void_p
        library.speex_decoder_init.restype = c_void_p
        mode = c_void_p(library.speex_lib_get_mode(self.mode))
        encoder = _Handle(
            library.speex_encoder_init(mode), library.speex_encoder_destroy, "a Speex encoder"
        )
        decoder = _Handle(
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
            library.speex_encode_int(encoder.pointer, _shorts(frame.copy()), byref(written))
            bits = int(written.nbBits)
            size = library.speex_bits_write(byref(written), buffer, MAX_PACKET)
            return buffer.raw[:size], bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.speex_bits_read_from(byref(read), packet, len(packet))
            if library.speex_decode_int(decoder.pointer, byref(read), _shorts(out)) != 0:
                raise OSError("speex_decode_int did not accept a packet")
            return out

        return encode, decode


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
        (library,) = self._loaded()
        for create in (library.Encoder_Interface_init, library.Decoder_Interface_init):
            create.restype = c_void_p
        encoder = _Handle(
            library.Encoder_Interface_init(0), library.Encoder_Interface_exit, "an AMR-NB encoder"
        )
        decoder = _Handle(
            library.Decoder_Interface_init(), library.Decoder_Interface_exit, "an AMR-NB decoder"
        )
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = library.Encoder_Interface_Encode(
                encoder.pointer, self.mode, _shorts(frame), buffer, 0
            )
            return buffer.raw[:size], self.bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.Decoder_Interface_Decode(decoder.pointer, packet, _shorts(out), 0)
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
        coder, player = self._loaded()
        coder.E_IF_init.restype = c_void_p
        player.D_IF_init.restype = c_void_p
        encoder = _Handle(coder.E_IF_init(), coder.E_IF_exit, "an AMR-WB encoder")
        decoder = _Handle(player.D_IF_init(), player.D_IF_exit, "an AMR-WB decoder")
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = coder.E_IF_encode(encoder.pointer, self.mode, _shorts(frame), buffer, 0)
            return buffer.raw[:size], self.bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            player.D_IF_decode(decoder.pointer, packet, _shorts(out), 0)
            return out

        return encode, decode


class Codec2(NativeCodec):
    """Codec2 at one mode, 8 kHz."""

    rate = NARROWBAND_RATE
    libraries = (("libcodec2.so.1.0", "libcodec2.so.1.2", "codec2"),)
    packages = "libcodec2-1.0"

    MODES = {"3200": (0, 64, 160), "2400": (1, 48, 160), "1600": (2, 64, 320), "700C": (8, 28, 320)}
    """Mode number, bits and samples of a frame."""

    def __init__(self, mode: str) -> None:
        self.name = f"codec2_{mode}"
        self.mode, self.bits, self.frame_length = self.MODES[mode]

    def open(self) -> tuple[EncodeFrame, DecodeFrame]:
        """Create an encoder and a decoder, which have the same state type."""
        (library,) = self._loaded()
        library.codec2_create.restype = c_void_p
        encoder, decoder = (
            _Handle(library.codec2_create(self.mode), library.codec2_destroy, "a Codec2 state")
            for _ in range(2)
        )
        size = (self.bits + 7) // 8
        buffer = ctypes.create_string_buffer(size)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            library.codec2_encode(encoder.pointer, buffer, _shorts(frame))
            return buffer.raw[:size], self.bits

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.codec2_decode(decoder.pointer, _shorts(out), packet)
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
        (library,) = self._loaded()
        library.initBcg729EncoderChannel.restype = c_void_p
        library.initBcg729DecoderChannel.restype = c_void_p
        encoder = _Handle(
            library.initBcg729EncoderChannel(c_ubyte(0)),
            library.closeBcg729EncoderChannel,
            "a G.729 encoder",
        )
        decoder = _Handle(
            library.initBcg729DecoderChannel(), library.closeBcg729DecoderChannel, "a G.729 decoder"
        )
        buffer = ctypes.create_string_buffer(MAX_PACKET)

        def encode(frame: NDArray[np.int16]) -> tuple[bytes, int]:
            size = c_ubyte()
            library.bcg729Encoder(encoder.pointer, _shorts(frame), buffer, byref(size))
            return buffer.raw[: size.value], 8 * size.value

        def decode(packet: bytes) -> NDArray[np.int16]:
            out = np.zeros(self.frame_length, np.int16)
            library.bcg729Decoder(
                decoder.pointer, packet, c_ubyte(len(packet)), c_ubyte(0), c_ubyte(0), c_ubyte(0),
                _shorts(out),
            )  # fmt: skip
            return out

        return encode, decode
