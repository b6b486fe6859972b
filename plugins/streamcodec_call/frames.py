"""Binary frames of the call protocol: the sound of a packet, or word that there is none."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .errors import ProtocolError
from .limits import MAX_LEVEL, MAX_PACKET, SEQUENCE_BITS

AUDIO = 1
SILENCE = 2
AUDIO_HEADER = struct.Struct(">BHII")
"""Type, sender, sequence, timestamp in samples at 16 kHz."""

_SENDER = struct.Struct(">H")
_SENDER_END = 1 + _SENDER.size

MAX_BINARY = AUDIO_HEADER.size + MAX_PACKET


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """Sound of one packet, or word that there is none.

    Attributes
    ----------
    sender : int
        0 from a client; the relay fills it in.
    sequence : int
        Counts the sender's frames, modulo 2**32.
    timestamp : int
        Samples at 16 kHz from the sender's start to the packet's first, modulo 2**32.
    packet : bytes
        Opaque codec packet; empty in silence.
    level : int or None
        None with a packet; in silence the level in dB under full scale, 0 ... 127.
    """

    sender: int
    sequence: int
    timestamp: int
    packet: bytes = b""
    level: int | None = None


def build_audio(frame: AudioFrame) -> bytes:
    """The bytes of a binary frame."""
    kind = AUDIO if frame.level is None else SILENCE
    body = frame.packet if frame.level is None else bytes([frame.level])
    wrap = (1 << SEQUENCE_BITS) - 1
    return (
        AUDIO_HEADER.pack(kind, frame.sender, frame.sequence & wrap, frame.timestamp & wrap) + body
    )


def stamp_sender(data: bytes, sender: int) -> bytes:
    """Put the sender's true number into a frame; what it claimed itself is overwritten."""
    return data[:1] + _SENDER.pack(sender) + data[_SENDER_END:]


def check_binary(data: bytes) -> bool:
    """Whether a binary frame is sound or silence; False if its type is unknown.

    Raises
    ------
    ProtocolError
        It is empty, too long, or not as long as its type needs.
    """
    if not 1 <= len(data) <= MAX_BINARY:
        raise ProtocolError(f"expected a binary frame of 1..{MAX_BINARY} bytes, found {len(data)}")
    if data[0] == AUDIO:
        if len(data) <= AUDIO_HEADER.size:
            raise ProtocolError("expected a packet behind the header of a sound frame, found none")
        return True
    if data[0] == SILENCE:
        if len(data) != AUDIO_HEADER.size + 1 or data[-1] > MAX_LEVEL:
            raise ProtocolError(f"expected one level byte of 0..{MAX_LEVEL} in a silence frame")
        return True
    return False


def parse_binary(data: bytes) -> AudioFrame | None:
    """Read a binary frame; None if its type is unknown; raises as :func:`check_binary`."""
    if not check_binary(data):
        return None
    kind, sender, sequence, timestamp = AUDIO_HEADER.unpack_from(data)
    body = bytes(data[AUDIO_HEADER.size :])
    if kind == SILENCE:
        return AudioFrame(sender, sequence, timestamp, level=body[0])
    return AudioFrame(sender, sequence, timestamp, body)
