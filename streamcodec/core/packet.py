"""Packets and the stream header: the bytes that travel.

A packet is two bytes and a payload: what the decoder must know beside the symbols (rate, whether
entropy contexts start anew, where in the sequence), and a check. The header is sent once a
stream. The bitstream document defines both bit for bit. No transport is assumed: a packet does
not know its own length, so a datagram or a container record has to.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from streamcodec.errors import (
    CorruptPacketError,
    FormatError,
    InputError,
    ModelMismatchError,
    TruncatedError,
    UnsupportedVersionError,
)

BITSTREAM_VERSION = 1

KIND_SPEECH = 1
KIND_IMAGE = 2

PREFIX_BYTES = 2
RATES = 8
SEQUENCE_MODULUS = 16
RATE_SHIFT = 5
REFRESH_BIT = 0x10
SEQUENCE_MASK = 0x0F

MAX_PAYLOAD = 1 << 16
"""Bytes of the largest payload. A speech step of 64 channels cannot take more than 392 bytes
(49 bits for the dearest symbol, see :mod:`streamcodec.core.tables`), so this leaves 167 of them,
or an image tile of 256 x 256 at 8 bits a pixel, and bounds what a hostile length can ask for."""

CRC8_POLYNOMIAL = 0x1D
CRC8_START = CRC8_FINAL = 0xFF
"""CRC-8/SAE-J1850: a primitive polynomial, so all two-bit errors within 255 bits are seen, and a
start value that keeps a run of zeros from being a packet."""


def _crc8_table() -> bytes:
    table = bytearray()
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = (remainder << 1) ^ (CRC8_POLYNOMIAL | 0x100 if remainder & 0x80 else 0)
        table.append(remainder)
    return bytes(table)


_CRC8 = _crc8_table()


def crc8(data: bytes) -> int:
    """CRC-8/SAE-J1850 of ``data``."""
    check = CRC8_START
    for byte in data:
        check = _CRC8[check ^ byte]
    return check ^ CRC8_FINAL


class Packet(bytes):
    """One packet: its bytes on the wire, and what they say.

    A ``bytes`` object, so it can be sent, written, joined and compared as it is.

    Parameters
    ----------
    data
        The bytes of one datagram or record.
    duration
        Seconds of signal that the packet stands for; known to who made it, not sent.

    Raises
    ------
    TruncatedError
        There are fewer bytes than any packet has.
    CorruptPacketError
        The check does not match, or the payload is longer than any.
    """

    SEQUENCE_MODULUS = SEQUENCE_MODULUS

    duration: float

    def __new__(cls, data: bytes, duration: float = 0.0) -> Packet:
        """Check ``data`` and take it over."""
        if len(data) < PREFIX_BYTES:
            raise TruncatedError(
                f"expected a packet of at least {PREFIX_BYTES} bytes, found {len(data)}; conceal it"
            )
        if len(data) > PREFIX_BYTES + MAX_PAYLOAD:
            raise CorruptPacketError(
                f"expected a packet of at most {PREFIX_BYTES + MAX_PAYLOAD} bytes, found "
                f"{len(data)}; conceal it"
            )
        packet = super().__new__(cls, data)
        check = crc8(packet[:1] + packet.payload)
        if check != packet[1]:
            raise CorruptPacketError(
                f"expected check {check:#04x}, found {packet[1]:#04x}; conceal this packet"
            )
        packet.duration = duration
        return packet

    def __getnewargs__(self) -> tuple[bytes, float]:  # type: ignore[override]
        return self.data, self.duration

    @classmethod
    def build(
        cls, payload: bytes, *, rate: int, refresh: bool, sequence: int, duration: float = 0.0
    ) -> Packet:
        """Make a packet.

        Parameters
        ----------
        payload
            Sealed symbols, at most ``MAX_PAYLOAD`` bytes.
        rate
            Rung of the rate ladder, 0..7.
        refresh
            Whether the entropy contexts start anew with this packet.
        sequence
            Number of the packet in its stream; sent modulo 16.
        duration
            Seconds of signal in it.

        Raises
        ------
        InputError
            The payload is too long, or the rate or sequence number is out of range.
        """
        if len(payload) > MAX_PAYLOAD:
            raise InputError(f"expected a payload of <= {MAX_PAYLOAD} bytes, found {len(payload)}")
        if not 0 <= rate < RATES or sequence < 0:
            raise InputError(
                f"expected a rate of 0..{RATES - 1} and a sequence number >= 0, found {rate} "
                f"and {sequence}"
            )
        first = bytes([rate << RATE_SHIFT | REFRESH_BIT * refresh | sequence % SEQUENCE_MODULUS])
        return cls(first + bytes([crc8(first + payload)]) + payload, duration)

    @property
    def data(self) -> bytes:
        """The bytes on the wire, as plain ``bytes``."""
        return bytes(self)

    @property
    def payload(self) -> bytes:
        """The range-coded symbols."""
        return self[PREFIX_BYTES:]

    @property
    def bits(self) -> int:
        """Bits of the payload."""
        return 8 * (len(self) - PREFIX_BYTES)

    @property
    def rate(self) -> int:
        """Rung of the rate ladder, 0..7."""
        return self[0] >> RATE_SHIFT

    @property
    def refresh(self) -> bool:
        """Whether the entropy contexts start anew with this packet."""
        return bool(self[0] & REFRESH_BIT)

    @property
    def sequence(self) -> int:
        """Number of the packet in its stream, modulo 16."""
        return self[0] & SEQUENCE_MASK

    def __repr__(self) -> str:
        return (
            f"<Packet {self.sequence}: rate {self.rate}, {self.bits} bits"
            f"{', refresh' if self.refresh else ''}>"
        )


def parse_packet(data: bytes, duration: float = 0.0) -> Packet:
    """Read a packet from the bytes of one datagram or record; raises as :class:`Packet` does."""
    return Packet(data, duration)


_HEADER = struct.Struct(">4sBB8sBH")
HEADER_MAGIC = b"scst"
HEADER_BYTES = _HEADER.size + 4
IDENTITY_BYTES = 8


@dataclass(frozen=True)
class StreamHeader:
    """What a decoder must know before the first packet.

    Parameters
    ----------
    identity
        Identity of the model: the first 8 bytes of a SHA-256 over all that decoding uses of it.
    steps_per_packet
        Latent steps in each packet, 1..255.
    refresh
        Packets from one refresh to the next, 1..65535.
    kind
        ``KIND_SPEECH`` or ``KIND_IMAGE``.

    Raises
    ------
    InputError
        A field is out of range.
    """

    identity: bytes
    steps_per_packet: int
    refresh: int
    kind: int = KIND_SPEECH

    def __post_init__(self) -> None:
        if self.kind not in (KIND_SPEECH, KIND_IMAGE):
            raise InputError(f"expected kind {KIND_SPEECH} or {KIND_IMAGE}, found {self.kind}")
        if len(self.identity) != IDENTITY_BYTES:
            raise InputError(
                f"expected a model identity of {IDENTITY_BYTES} bytes, found {len(self.identity)}"
            )
        if not (1 <= self.steps_per_packet <= 0xFF and 1 <= self.refresh <= 0xFFFF):
            raise InputError(
                "expected 1..255 steps a packet and a refresh interval of 1..65535, found "
                f"{self.steps_per_packet} and {self.refresh}"
            )

    def to_bytes(self) -> bytes:
        """The header on the wire, ``HEADER_BYTES`` long."""
        fields = _HEADER.pack(
            HEADER_MAGIC,
            BITSTREAM_VERSION,
            self.kind,
            self.identity,
            self.steps_per_packet,
            self.refresh,
        )
        return fields + zlib.crc32(fields).to_bytes(4, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamHeader:
        """Read a header from the first ``HEADER_BYTES`` of ``data``.

        Raises
        ------
        TruncatedError
            Fewer bytes, that begin like a header.
        UnsupportedVersionError
            A header of a later version.
        FormatError
            No header, or a damaged one.
        """
        data = bytes(data[:HEADER_BYTES])
        known = min(len(data), len(HEADER_MAGIC))
        if data[:known] != HEADER_MAGIC[:known]:
            raise FormatError(
                f"expected a stream header beginning with {HEADER_MAGIC!r}, found "
                f"{data[:known]!r}; this is no stream of this codec"
            )
        # The version comes before the length: later headers may be shorter or longer.
        if len(data) > known and data[known] > BITSTREAM_VERSION:
            raise UnsupportedVersionError(
                f"expected a stream of version <= {BITSTREAM_VERSION}, found {data[known]}; "
                "a newer release of streamcodec reads it"
            )
        if len(data) < HEADER_BYTES:
            raise TruncatedError(
                f"expected a stream header of {HEADER_BYTES} bytes, found {len(data)}"
            )
        if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
            raise FormatError("the check of the stream header does not match; it is damaged")
        _, version, kind, identity, steps, refresh = _HEADER.unpack(data[:-4])
        if version != BITSTREAM_VERSION:
            raise FormatError(f"expected stream version {BITSTREAM_VERSION}, found {version}")
        try:
            return cls(identity, steps, refresh, kind)
        except InputError as error:
            raise FormatError(f"a field of the stream header is out of range: {error}") from error

    def check_model(self, identity: bytes) -> None:
        """Compare with the identity of the loaded model.

        Raises
        ------
        ModelMismatchError
            The stream was made with other weights.
        """
        if identity != self.identity:
            raise ModelMismatchError(
                f"expected model {identity.hex()}, found a stream made with model "
                f"{self.identity.hex()}; load the model that it was made with"
            )
