"""Streaming neural codec for speech, and for pictures by the same core.

The names below are the public face; they are imported when first used, so that
``import streamcodec`` costs nothing to programs that only ask for its version or its errors.

>>> import streamcodec
>>> streamcodec.SpeechEncoder.__name__
'SpeechEncoder'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .core.packet import Packet, StreamHeader
    from .files import DecodeReport, EncodeReport, decode_file, encode_file
    from .image.decoder import ImageDecoder, decode_image
    from .image.encode import encode_image
    from .imagefiles import (
        ImageDecodeReport,
        ImageEncodeReport,
        decode_image_file,
        encode_image_file,
    )
    from .speech.decoder import SpeechDecoder
    from .speech.encoder import SpeechEncoder

__version__ = "0.1.0"

__all__ = [
    "DecodeReport",
    "EncodeReport",
    "ImageDecodeReport",
    "ImageDecoder",
    "ImageEncodeReport",
    "Packet",
    "SpeechDecoder",
    "SpeechEncoder",
    "StreamHeader",
    "__version__",
    "decode_file",
    "decode_image",
    "decode_image_file",
    "encode_file",
    "encode_image",
    "encode_image_file",
    "errors",
]

_HOMES = {
    "DecodeReport": "files",
    "EncodeReport": "files",
    "ImageDecodeReport": "imagefiles",
    "ImageDecoder": "image.decoder",
    "ImageEncodeReport": "imagefiles",
    "Packet": "core.packet",
    "SpeechDecoder": "speech.decoder",
    "SpeechEncoder": "speech.encoder",
    "StreamHeader": "core.packet",
    "decode_file": "files",
    "decode_image": "image.decoder",
    "decode_image_file": "imagefiles",
    "encode_file": "files",
    "encode_image": "image.encode",
    "encode_image_file": "imagefiles",
}
"""Module of each public name that is imported on first use (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".errors", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
