"""Parts of the container file: numbers, head, records, trailer.

:mod:`streamcodec.core.container` writes and reads whole files with these. The bitstream document
defines the layout.
"""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamcodec.core.packet import HEADER_BYTES, MAX_PAYLOAD, PREFIX_BYTES, StreamHeader
from streamcodec.errors import FormatError, InputError, TruncatedError

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap

MAGIC = b"\x89SCF\r\n\x1a\n"
"""As PNG has it: one byte beyond ASCII, both kinds of line end and an end-of-file mark, so that a
transfer in text mode is noticed at once."""

END_MAGIC = b"SCFe"
CRC_BYTES = LENGTH_BYTES = 4
FOOTER_BYTES = CRC_BYTES + LENGTH_BYTES + len(END_MAGIC)
"""CRC-32 of the file, length of the trailer, END_MAGIC."""

MAX_RECORD = PREFIX_BYTES + MAX_PAYLOAD
MAX_METADATA = 1 << 16
MAX_SEEK_POINTS = 2048
MAX_VARINT_BYTES = 9
TRAILER_FIELDS = 3
"""Numbers of a trailer before its seek points: total samples, packets, number of seek points."""


@dataclass(frozen=True)
class SeekPoint:
    """A place where decoding can begin."""

    packet: int
    """Index of the packet, from 0."""
    offset: int
    """Where its record begins in the file."""


@dataclass(frozen=True)
class Trailer:
    """What is known at the end of a file."""

    total_samples: int
    packets: int
    seek_points: tuple[SeekPoint, ...]


def pack_varint(value: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, lowest first, the top bit says that more follow."""
    if not 0 <= value < 1 << (7 * MAX_VARINT_BYTES):
        raise InputError(f"expected a number from 0 to 2**63 - 1, found {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def parse_varint(data: Buffer, offset: int) -> tuple[int, int] | None:
    """Number at ``offset`` and the offset behind it, or None if more bytes are needed.

    Raises
    ------
    FormatError
        The number has more than 9 bytes or is not the shortest form.
    """
    value = 0
    for k in range(MAX_VARINT_BYTES):
        if offset + k >= len(data):
            return None
        byte = data[offset + k]
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            if byte == 0 and k > 0:
                raise FormatError("a number is not in its shortest form; the file is damaged")
            return value, offset + k + 1
    raise FormatError(f"a number has more than {MAX_VARINT_BYTES} bytes; the file is damaged")


def collect_trailer(data: Buffer, begin: int, numbers: list[int]) -> int:
    """Append to ``numbers`` what ``data`` holds of a trailer's, from ``begin`` on.

    Returns
    -------
    The offset behind the last complete number. :func:`trailer_complete` tells if it was the last.

    Raises
    ------
    FormatError
        They are no trailer's numbers.
    """
    while not trailer_complete(numbers):
        parsed = parse_varint(data, begin)
        if parsed is None:
            break
        number, begin = parsed
        numbers.append(number)
        if len(numbers) == TRAILER_FIELDS and number > MAX_SEEK_POINTS:
            raise FormatError(
                f"expected at most {MAX_SEEK_POINTS} seek points, found {number}; damaged file"
            )
    return begin


def trailer_complete(numbers: list[int]) -> bool:
    """Whether these are all numbers of a trailer; the third says how many pairs follow."""
    return (
        len(numbers) >= TRAILER_FIELDS
        and len(numbers) == TRAILER_FIELDS + 2 * numbers[TRAILER_FIELDS - 1]
    )


def make_trailer(numbers: list[int], records_end: int) -> Trailer:
    """Make sense of the numbers of a trailer.

    Parameters
    ----------
    records_end
        Where the records end in the file; no seek point may lie behind.

    Raises
    ------
    FormatError
        A seek point is out of order or out of the file.
    """
    total_samples, packets = numbers[:2]
    points: list[SeekPoint] = []
    packet = offset = 0
    for k in range(TRAILER_FIELDS, len(numbers), 2):
        packet += numbers[k]
        offset += numbers[k + 1]
        ascending = not points or (numbers[k] > 0 and numbers[k + 1] > 0)
        if not ascending or packet >= packets or offset >= records_end:
            raise FormatError("a seek point lies outside the file; it is damaged")
        points.append(SeekPoint(packet, offset))
    return Trailer(total_samples, packets, tuple(points))


def parse_head(data: Buffer) -> tuple[StreamHeader, dict[str, Any], int]:
    """Read what :meth:`ContainerWriter.begin` made.

    Returns
    -------
    header, metadata, end
        ``end`` is where the first record begins.

    Raises
    ------
    FormatError
        It is no container file, or a damaged one.
    TruncatedError
        It begins like one, but ends before the first record.
    UnsupportedVersionError
        It is of a later version.
    """
    known = min(len(data), len(MAGIC))
    if bytes(data[:known]) != MAGIC[:known]:
        raise FormatError(
            f"expected a streamcodec file beginning with {MAGIC!r}, found {bytes(data[:known])!r}"
        )
    header = StreamHeader.from_bytes(bytes(data[known : known + HEADER_BYTES]))
    parsed = parse_varint(data, len(MAGIC) + HEADER_BYTES)
    length, begin = parsed or (0, 0)
    if length > MAX_METADATA:
        raise FormatError(f"metadata of {length} bytes is beyond {MAX_METADATA}; damaged file")
    end = begin + length
    if parsed is None or len(data) < end + CRC_BYTES:
        raise TruncatedError("the file ends inside its head; nothing of it can be decoded")
    if zlib.crc32(data[:end]) != int.from_bytes(data[end : end + CRC_BYTES], "big"):
        raise FormatError("the check of the file's head does not match; it is damaged")
    try:
        metadata = json.loads(bytes(data[begin:end]))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the metadata is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise FormatError("the metadata is not a JSON object")
    return header, metadata, end + CRC_BYTES


def iterate_records(data: Buffer, offset: int) -> Iterator[tuple[bytes, int]]:
    """Yield complete records from ``offset`` on, each with the offset behind it.

    Stops before the end mark (a zero byte) and before an incomplete record.

    Raises
    ------
    FormatError
        A length that no record has.
    """
    while (parsed := parse_varint(data, offset)) is not None:
        length, begin = parsed
        if length == 0:
            return
        if not PREFIX_BYTES <= length <= MAX_RECORD:
            raise FormatError(
                f"expected a record of {PREFIX_BYTES}..{MAX_RECORD} bytes, found {length}; "
                "the file is damaged here"
            )
        offset = begin + length
        if offset > len(data):
            return
        yield bytes(data[begin:offset]), offset


def check_footer(footer: bytes, size: int, trailer: Trailer, packets: int) -> None:
    """Compare the last bytes of a file with what came before them.

    Raises
    ------
    FormatError
        They do not fit.
    """
    expected = size.to_bytes(LENGTH_BYTES, "big") + END_MAGIC
    if footer[CRC_BYTES:] != expected or trailer.packets != packets:
        raise FormatError(
            f"the end of the file does not fit the {packets} packets before it; it is damaged"
        )
