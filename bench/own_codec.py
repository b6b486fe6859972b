"""Our own codec on the bench, through its public API, and a hook for anything else.

On the command line a codec is written ``streamcodec:2000``, with options behind it
(``streamcodec:2000:complexity=10:vocoder=griffin-lim:low_delay:model=FOLDER``), or
``NAME=package.module:function`` for a function that takes float32 samples at 16 kHz and returns
its payload bits and the decoded samples.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers import Codec, Stopwatch, Transcoded
from bench.signals import SAMPLE_RATE, Sound

OWN = "streamcodec"
DEFAULT_BITRATE = 2000
BLOCK = 320
"""Samples pushed at a time, as a live source would: 20 ms."""

Function = Callable[[Sound], tuple[int, Sound]]


class StreamCodec(Codec):
    """Our codec at one setting.

    Parameters
    ----------
    bitrate : int
        Bits a second.
    encoder_options, decoder_options : dict
        Passed on to ``SpeechEncoder`` and ``SpeechDecoder``.
    name : str, optional
        Row name; made of the settings by default.
    """

    def __init__(
        self,
        bitrate: int,
        encoder_options: dict[str, Any],
        decoder_options: dict[str, Any],
        name: str | None = None,
    ) -> None:
        self.bitrate = bitrate
        self.encoder_options = encoder_options
        self.decoder_options = decoder_options
        settings = [f"{bitrate}"]
        settings += [f"{key}={value}" for key, value in (encoder_options | decoder_options).items()]
        self.name = name or ":".join([OWN, *settings])
        self._streams: tuple[Any, Any] | None = None

    @cached_property
    def version(self) -> str:
        """Digest of the library's code and of the weights: results live until one changes."""
        options = sorted((self.encoder_options | self.decoder_options).items())
        digest = digest_of(self.encoder_options.get("model"), "speech")
        return f"{OWN} {digest} {self.bitrate} {options}"

    def available(self) -> str | None:
        """Whether the package can be imported and finds its model."""
        if importlib.util.find_spec(OWN) is None:
            return f"no Python package {OWN}"
        try:
            self._open()
        except (ImportError, AttributeError) as error:
            return f"{OWN} cannot be used: {error}"
        except Exception as error:
            # What our codec raises on purpose: most likely there are no weights.
            if isinstance(error, importlib.import_module(OWN).errors.StreamcodecError):
                return str(error)
            raise
        return None

    def transcode(self, sound: Sound) -> Transcoded:
        """Encode, decode every packet."""
        with Stopwatch() as encoding:
            packets = self.encode(sound)
        wire = [bytes(packet) for packet in packets]
        with Stopwatch() as decoding:
            decoded = self.decode(wire)
        return Transcoded(
            bits=sum(packet.bits for packet in packets),
            sound=decoded[: len(sound)],
            encode_seconds=encoding.seconds,
            decode_seconds=decoding.seconds,
        )

    def encode(self, sound: Sound) -> list[Any]:
        """Packets of a clip as a new stream, pushed in blocks of 20 ms and flushed."""
        encoder, _ = self._open()
        encoder.reset()
        packets: list[Any] = []
        for start in range(0, len(sound), BLOCK):
            packets += encoder.push(sound[start : start + BLOCK])
        return packets + encoder.flush()

    def decode(self, wire: Sequence[bytes | None], lookahead: int = 0) -> Sound:
        """Sound of the packets of a new stream; None stands for one that is lost.

        The decoder is shown the packet behind a gap if that is one of the next ``lookahead``.
        """
        _, decoder = self._open()
        decoder.reset()
        decoded = []
        for n, data in enumerate(wire):
            if data is None:
                following = next(filter(None, wire[n + 1 : n + 1 + lookahead]), None)
                decoded.append(decoder.conceal(following))
            else:
                decoded.append(decoder.push(data))
        return np.concatenate([*decoded, decoder.flush()]).astype(np.float32)

    def _open(self) -> tuple[Any, Any]:
        """Encoder and decoder, created once: loading a model is no part of a clip."""
        if self._streams is None:
            library = importlib.import_module(OWN)
            encoder = library.SpeechEncoder(
                self.bitrate, sample_rate=SAMPLE_RATE, **self.encoder_options
            )
            decoder = library.SpeechDecoder(encoder.header, **self.decoder_options)
            self._streams = encoder, decoder
        return self._streams


class FunctionCodec(Codec):
    """Any function from samples to (bits, samples); its time counts as encoding."""

    cacheable = False
    version = "function"

    def __init__(self, name: str, target: str | Function) -> None:
        self.name = name
        self.target = target

    def available(self) -> str | None:
        """Whether the function can be imported."""
        try:
            self._function()
        except (ImportError, AttributeError, ValueError) as error:
            return str(error)
        return None

    def transcode(self, sound: Sound) -> Transcoded:
        """Call the function."""
        function = self._function()
        with Stopwatch() as working:
            bits, decoded = function(sound)
        return Transcoded(int(bits), np.asarray(decoded, np.float32), working.seconds, 0.0)

    def _function(self) -> Function:
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        if not attribute:
            raise ValueError(f"expected package.module:function, found {self.target!r}")
        return getattr(importlib.import_module(module), attribute)


ENCODER_AND_DECODER_OPTIONS = {"model"}
DECODER_OPTIONS = {"vocoder"} | ENCODER_AND_DECODER_OPTIONS
NOT_ENCODER_OPTIONS = DECODER_OPTIONS - ENCODER_AND_DECODER_OPTIONS
CONVERTERS: dict[str, Callable[[str], Any]] = {
    "complexity": int,
    "refresh": int,
    "deadline": float,
}


def parse_codec(text: str, complexity: int | None = None) -> Codec:
    """Make a codec from its form on the command line.

    Parameters
    ----------
    text : str
        ``streamcodec[:BITRATE][:OPTION[=VALUE]...]`` or ``NAME=package.module:function``; an
        option without value is switched on.
    complexity : int, optional
        For our codec, where the text does not say.

    Raises
    ------
    ValueError
        If the text has neither form.
    """
    first, *settings = text.split(":")
    if first != OWN:
        name, equals, target = text.partition("=")
        if not equals:
            raise ValueError(
                f"unknown codec {text!r}: expected {OWN}:BITRATE or NAME=package.module:function"
            )
        return FunctionCodec(name, target)
    bitrate = DEFAULT_BITRATE
    if settings and settings[0].isdigit():
        bitrate = int(settings.pop(0))
    options: dict[str, Any] = {} if complexity is None else {"complexity": complexity}
    for setting in settings:
        key, equals, value = setting.partition("=")
        options[key] = CONVERTERS.get(key, str)(value) if equals else True
    return StreamCodec(
        bitrate,
        {key: value for key, value in options.items() if key not in NOT_ENCODER_OPTIONS},
        {key: value for key, value in options.items() if key in DECODER_OPTIONS},
        text,
    )


def digest_of(model: str | None, kind: str) -> str:
    """Of the library's source, and of the weights in ``model`` or the default ones.

    ``kind`` is the part of the library that knows which those are: "speech" or "image".
    """
    folders = [(Path(importlib.import_module(OWN).__file__ or "").parent, "*.py")]
    weights = Path(model) if model else None
    if weights is None or not weights.is_dir():
        models = importlib.import_module("streamcodec_models")
        name = model or importlib.import_module(f"{OWN}.{kind}.model").DEFAULT_MODEL
        weights = Path(models.__file__ or "").parent / "weights" / name
    folders.append((weights, "*.safetensors"))
    digest = hashlib.sha256()
    for folder, pattern in folders:
        for path in sorted(folder.rglob(pattern)):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
