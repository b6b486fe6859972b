"""Random access to a complete container file."""

from __future__ import annotations

from collections.abc import Iterator

from streamcodec.core.container import ContainerReader
from streamcodec.core.container_layout import (
    CRC_BYTES,
    END_MAGIC,
    FOOTER_BYTES,
    Buffer,
    collect_trailer,
    iterate_records,
    make_trailer,
    parse_head,
    trailer_complete,
)
from streamcodec.errors import FormatError, TruncatedError

VERIFY_BYTES = 1 << 20
"""Bytes that a check of a whole file takes at a time."""


class ContainerFile:
    """Random access to the bytes of a complete container file, in memory or mapped into it.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    TruncatedError
        The file is not complete; :class:`ContainerReader` gives what there is.
    FormatError, UnsupportedVersionError
        It is no container file, a damaged one, or one of a later version.
    """

    def __init__(self, data: Buffer) -> None:
        self._data = data
        self.header, self.metadata, self._begin = parse_head(data)
        footer = bytes(data[-FOOTER_BYTES:])
        size = int.from_bytes(footer[CRC_BYTES : -len(END_MAGIC)], "big")
        begin = len(data) - FOOTER_BYTES - size
        if footer[-len(END_MAGIC) :] != END_MAGIC or begin <= self._begin or data[begin - 1]:
            complete = sum(1 for _ in iterate_records(data, self._begin))
            raise TruncatedError(
                f"the file ends without an index; {complete} complete packets can be read from "
                "its beginning"
            )
        numbers: list[int] = []
        end = collect_trailer(data, begin, numbers)
        if not trailer_complete(numbers) or end != begin + size:
            raise FormatError("the trailer does not have the length it announces; damaged file")
        self.trailer = make_trailer(numbers, begin - 1)
        self._end = begin - 1

    def records(self, packet: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield ``(index, packet)`` from the last seek point at or before ``packet`` on.

        Raises
        ------
        FormatError
            A record is damaged; those before it have been yielded.
        """
        index, offset = 0, self._begin
        for point in self.trailer.seek_points:
            if point.packet <= packet and point.offset >= self._begin:
                index, offset = point.packet, point.offset
        for record, end in iterate_records(self._data, offset):
            if end > self._end:
                raise FormatError("a record runs into the trailer; the file is damaged")
            yield index, record
            index += 1

    def verify(self) -> None:
        """Check the whole file, in linear time.

        Raises
        ------
        FormatError
            A byte of it has changed.
        """
        reader = ContainerReader()
        with memoryview(self._data) as view:
            for begin in range(0, len(view), VERIFY_BYTES):
                reader.feed(bytes(view[begin : begin + VERIFY_BYTES]))
        reader.finish()
