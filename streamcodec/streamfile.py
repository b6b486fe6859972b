"""A stream file that is open for decoding."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .core.container import ContainerReader
from .core.container_file import ContainerFile
from .core.container_layout import (
    MAGIC,
    SeekPoint,
    Trailer,
    iterate_records,
    parse_head,
)
from .core.packet import KIND_SPEECH, PREFIX_BYTES, Packet, StreamHeader, parse_packet
from .errors import FormatError, StreamcodecError
from .speech.geometry import SAMPLE_RATE
from .speech.vocoders import DEFAULT_VOCODER

if TYPE_CHECKING:
    import numpy as np

    from .speech.decoder import SpeechDecoder

READ_BYTES = 1 << 16
"""Bytes of a file read at once."""

SMALLEST_RECORD = 1 + PREFIX_BYTES
"""Bytes of a record without payload: what bounds the number of packets a file can hold."""

Listener = Callable[[Packet | None], None]
"""Called with every packet of a stream; None stands for one that is lost."""


def is_stream(path: Path) -> bool:
    """Whether a file begins like one of ours."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


@contextmanager
def open_stream(path: Path, *, recover: bool = False) -> Iterator[StreamFile]:
    """Open a stream file.

    Parameters
    ----------
    path : Path
    recover : bool
        Take what is left of a damaged file: packets that are missing or damaged are concealed,
        and after damage reading goes on at the next seek point.

    Raises
    ------
    OSError
        The file cannot be read.
    TruncatedError
        It is not complete, and `recover` is not set.
    FormatError
        It is no stream of ours, or its head is damaged.
    """
    with path.open("rb") as file:
        data: mmap.mmap | bytes = b""
        if file.seek(0, 2):  # an empty file cannot be mapped
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            yield StreamFile(path, data, recover)
        finally:
            if isinstance(data, mmap.mmap):
                data.close()


class StreamFile:
    """A stream file that is open for decoding; see :func:`open_stream`.

    Attributes
    ----------
    path : Path
    header : StreamHeader
    metadata : dict
    trailer : Trailer or None
        None if the end of the file is missing or damaged.
    size : int
        Bytes of the file.
    packets, concealed_packets : int
        Decoded so far, and those of them that had to be concealed.
    """

    def __init__(self, path: Path, data: mmap.mmap | bytes, recover: bool) -> None:
        self.path = path
        self.recover = recover
        self.size = len(data)
        self.packets = self.concealed_packets = 0
        self._data = data
        self.header: StreamHeader
        try:
            self.header, self.metadata, self._begin = parse_head(data)
        except FormatError as error:
            raise type(error)(f"{path}: {error}") from error
        self.trailer: Trailer | None = None
        try:
            self.trailer = ContainerFile(data).trailer
        except FormatError as error:
            if not recover:
                self._fail(error)

    @property
    def seconds(self) -> float | None:
        """Length of the signal, None if the file does not say."""
        return None if self.trailer is None else self.trailer.total_samples / SAMPLE_RATE

    def decoder(
        self, *, vocoder: str = DEFAULT_VOCODER, model: str | Path | None = None
    ) -> SpeechDecoder:
        """Make a decoder for this stream.

        Raises
        ------
        FormatError
            The stream is not speech.
        ModelError
            The model is missing, damaged, or not the one that made the stream.
        """
        if self.header.kind != KIND_SPEECH:
            raise FormatError(f"{self.path}: expected speech, found a stream of another kind")
        from .speech.decoder import SpeechDecoder  # here: what only looks needs no networks

        return SpeechDecoder(self.header, vocoder=vocoder, model=model)

    def decode(
        self, decoder: SpeechDecoder, listener: Listener | None = None
    ) -> Iterator[np.ndarray]:
        """Decode the stream.

        Parameters
        ----------
        decoder : SpeechDecoder
            As :meth:`decoder` makes it.
        listener : callable, optional
            Told about every packet before it is decoded.

        Yields
        ------
        ndarray, shape (n,), float32
            Sound, packet by packet; as much in all as was encoded.

        Raises
        ------
        FormatError
            The file is damaged, and ``recover`` is not set.
        """
        left = None if self.trailer is None else self.trailer.total_samples
        for record in self._recovered() if self.recover else self.records():
            samples = self._decode_record(decoder, record, listener)[:left]
            left = None if left is None else left - len(samples)
            self.packets += 1
            yield samples
        if self.packets:
            tail = decoder.flush()[:left]
            left = None if left is None else left - len(tail)
            yield tail
        if left and not self.recover:
            self._fail(FormatError(f"{left} samples that the file announces are not in it"))

    def _decode_record(
        self, decoder: SpeechDecoder, record: bytes | None, listener: Listener | None
    ) -> np.ndarray:
        packet = None
        try:
            packet = None if record is None else parse_packet(record)
            if listener is not None:
                listener(packet)
            samples = decoder.conceal() if packet is None else decoder.push(packet)
        except StreamcodecError as error:
            if not self.recover:
                self._fail(error)
            samples = decoder.conceal()
        self.concealed_packets += not decoder.in_step
        return samples

    def records(self) -> Iterator[bytes]:
        """Yield all records of a file that must be whole."""
        reader = ContainerReader()
        try:
            for begin in range(0, self.size, READ_BYTES):
                yield from reader.feed(self._data[begin : begin + READ_BYTES])
            reader.finish()
        except FormatError as error:
            self._fail(error)

    def _recovered(self) -> Iterator[bytes | None]:
        """Yield the records of a file that may be damaged; None for each that is lost."""
        start = SeekPoint(0, self._begin)
        if self.trailer is None:
            yield from self._readable(start.offset, self.size)
            return
        points = [p for p in self.trailer.seek_points if p.packet > 0 and p.offset > self._begin]
        for point, following in pairwise(
            [start, *points, SeekPoint(self.trailer.packets, self.size)]
        ):
            # The number of packets is the file's claim: no more of them than its bytes can hold.
            room = (following.offset - point.offset) // SMALLEST_RECORD
            expected = min(following.packet - point.packet, room)
            records = list(islice(self._readable(point.offset, following.offset), expected))
            yield from records
            yield from repeat(None, expected - len(records))

    def _readable(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield records between two places of the file, up to the first that makes no sense."""
        try:
            for record, behind in iterate_records(self._data, begin):
                if behind > end:
                    return
                yield record
        except FormatError:
            return

    def _fail(self, error: StreamcodecError) -> NoReturn:
        where = f" (packet {self.packets})" if self.packets else ""
        raise type(error)(
            f"{self.path}{where}: {error}; recovering (--recover) decodes what is left"
        ) from error
