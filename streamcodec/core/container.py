"""The container file: a header, packets as records, and an index at the end.

Sans-I/O: the writer returns bytes to append to a file, the reader takes whatever bytes come.
Memory does not grow with the file but for what the caller keeps: the index holds a bounded
number of seek points, thinned out evenly when there are more. The bitstream document defines
the layout.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamcodec.core.container_layout import (
    CRC_BYTES,
    END_MAGIC,
    FOOTER_BYTES,
    LENGTH_BYTES,
    MAGIC,
    MAX_METADATA,
    MAX_RECORD,
    MAX_SEEK_POINTS,
    SeekPoint,
    Trailer,
    check_footer,
    collect_trailer,
    iterate_records,
    make_trailer,
    pack_varint,
    parse_head,
    trailer_complete,
)
from streamcodec.core.packet import PREFIX_BYTES, REFRESH_BIT, StreamHeader
from streamcodec.errors import FormatError, InputError, TruncatedError


@dataclass
class ContainerWriter:
    """Makes a container file, piece by piece.

    Parameters
    ----------
    header
        The stream header of all packets.
    metadata
        Anything JSON can hold (sample rate and channels of the source, size of an image); readers
        ignore keys they do not know.
    """

    header: StreamHeader
    metadata: Mapping[str, Any] = field(default_factory=dict)
    _size: int = field(default=0, init=False)
    _crc: int = field(default=0, init=False)
    _packets: int = field(default=0, init=False)
    _points: list[SeekPoint] = field(default_factory=list, init=False)
    _stride: int = field(default=1, init=False)
    _refreshes: int = field(default=0, init=False)
    _finished: bool = field(default=False, init=False)

    def begin(self) -> bytes:
        """Return the bytes that a file begins with.

        Raises
        ------
        InputError
            ``metadata`` is not JSON, or too long; or the file has begun already.
        """
        if self._size:
            raise InputError("this file has begun already; make a new writer")
        try:
            text = json.dumps(dict(self.metadata), allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"expected metadata that JSON can hold: {error}") from error
        metadata = text.encode()
        if len(metadata) > MAX_METADATA:
            raise InputError(f"expected metadata of <= {MAX_METADATA} bytes, found {len(metadata)}")
        head = MAGIC + self.header.to_bytes() + pack_varint(len(metadata)) + metadata
        return self._append(head + zlib.crc32(head).to_bytes(CRC_BYTES, "big"))

    def add(self, packet: bytes) -> bytes:
        """Return the record of one packet.

        Raises
        ------
        InputError
            The packet has an impossible length, or the file has not begun or is finished.
        """
        self._check_open()
        if not PREFIX_BYTES <= len(packet) <= MAX_RECORD:
            raise InputError(
                f"expected a packet of {PREFIX_BYTES}..{MAX_RECORD} bytes, found {len(packet)}"
            )
        if packet[0] & REFRESH_BIT:
            self._remember()
        self._packets += 1
        return self._append(pack_varint(len(packet)) + bytes(packet))

    def finish(self, total_samples: int) -> bytes:
        """Return the end of the file.

        Parameters
        ----------
        total_samples
            Samples of signal, at the rate of the codec, that a decoder must return (pixels for
            an image).
        """
        self._check_open()
        numbers = [total_samples, self._packets, len(self._points)]
        last = SeekPoint(0, 0)
        for point in self._points:
            numbers += [point.packet - last.packet, point.offset - last.offset]
            last = point
        trailer = b"".join(pack_varint(n) for n in numbers)
        self._append(b"\0" + trailer)
        self._finished = True
        check = self._crc.to_bytes(CRC_BYTES, "big")
        return b"\0" + trailer + check + len(trailer).to_bytes(LENGTH_BYTES, "big") + END_MAGIC

    def _append(self, data: bytes) -> bytes:
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        return data

    def _check_open(self) -> None:
        if not self._size or self._finished:
            raise InputError("call begin() first, and nothing after finish()")

    def _remember(self) -> None:
        """Keep every ``_stride``-th refresh; double the stride when there are too many."""
        if self._refreshes % self._stride == 0:
            if len(self._points) == MAX_SEEK_POINTS:
                del self._points[1::2]
                self._stride *= 2
            if self._refreshes % self._stride == 0:
                self._points.append(SeekPoint(self._packets, self._size))
        self._refreshes += 1


class ContainerReader:
    """Reads a container file as its bytes arrive.

    Attributes
    ----------
    header, metadata
        What the file begins with; None and empty until enough of it came.
    packets
        Records returned so far.
    trailer
        What the file ends with; None until then.
    """

    def __init__(self) -> None:
        self.header: StreamHeader | None = None
        self.metadata: dict[str, Any] = {}
        self.packets = 0
        self.trailer: Trailer | None = None
        self._buffer = bytearray()
        self._taken = 0
        self._records_end: int | None = None
        self._numbers: list[int] = []
        self._trailer_size = 0
        self._crc = 0
        self._error: FormatError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Take some bytes of the file; return the packets that they complete.

        No packet is lost to damage behind it: the error comes with the next call.

        Raises
        ------
        FormatError
            The bytes before were no container file, or a damaged one.
        UnsupportedVersionError
            The file is of a later version.
        """
        if self._error:
            raise self._error
        self._buffer += data
        if self.header is None:
            try:
                self.header, self.metadata, end = parse_head(self._buffer)
            except TruncatedError:
                return []
            self._take(end)
        packets: list[bytes] = []
        try:
            if self._records_end is None:
                self._read_records(packets)
            if self._records_end is not None:
                self._read_end()
        except FormatError as error:
            self._error = error
        return packets

    def finish(self) -> Trailer:
        """Say that no more bytes come; return what the file ends with.

        Raises
        ------
        TruncatedError
            The file is not complete. All complete packets have been returned by :meth:`feed`.
        FormatError
            The file is damaged somewhere; its packets tell by their own checks.
        """
        if self._error:
            raise self._error
        if self.header is None:
            parse_head(self._buffer)  # raises, and says more exactly what is missing
        if self.trailer is None:
            raise TruncatedError(
                f"the file ends too early, after {self.packets} complete packets "
                f"({self._taken} bytes); these can be decoded, the rest is missing"
            )
        return self.trailer

    def _read_records(self, packets: list[bytes]) -> None:
        end = 0
        try:
            for record, end in iterate_records(self._buffer, 0):  # noqa: B007 (used below)
                packets.append(record)
        finally:
            self.packets += len(packets)
            self._take(end)
        if self._buffer[:1] == b"\0":
            self._records_end = self._taken
            self._take(1)

    def _read_end(self) -> None:
        if self.trailer is not None:
            if self._buffer:
                raise FormatError("bytes follow the end of the file; it is damaged")
            return
        size = collect_trailer(self._buffer, 0, self._numbers)
        self._take(size)
        self._trailer_size += size
        if not trailer_complete(self._numbers) or len(self._buffer) < FOOTER_BYTES:
            return
        trailer = make_trailer(self._numbers, self._records_end or 0)
        footer = bytes(self._buffer[:FOOTER_BYTES])
        check_footer(footer, self._trailer_size, trailer, self.packets)
        if int.from_bytes(footer[:CRC_BYTES], "big") != self._crc:
            raise FormatError(
                "the check of the whole file does not match; some of its packets are damaged"
            )
        self.trailer = trailer
        self._take(FOOTER_BYTES)
        self._read_end()

    def _take(self, size: int) -> None:
        """Drop the first bytes of the buffer, all of them understood."""
        with memoryview(self._buffer) as view:
            self._crc = zlib.crc32(view[:size], self._crc)
        del self._buffer[:size]
        self._taken += size
