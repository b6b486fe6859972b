"""Both sides of a loopback as WAV files, written beside the codec's thread."""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from streamcodec.safefile import replacing

MAX_QUEUED = 1000
"""Blocks that wait for the disk (40 s at least); beyond that the recording fails rather than
growing for ever."""

_END = None


class Recorder:
    """Write ``PREFIX-in.wav`` and ``PREFIX-out.wav``, 16 bit, each whole or not at all.

    Used as a context: the files take their places when it is left without an exception.

    Parameters
    ----------
    prefix : str
        Folder and beginning of the names.
    input_rate, output_rate : int
        Hz.

    Raises
    ------
    OSError
        On entering: nothing can be written there. On leaving: writing failed meanwhile.
    """

    def __init__(self, prefix: str, input_rate: int, output_rate: int) -> None:
        self.paths = (Path(f"{prefix}-in.wav"), Path(f"{prefix}-out.wav"))
        self._rates = (input_rate, output_rate)
        self._queue: queue.Queue[tuple[int, np.ndarray] | None] = queue.Queue(MAX_QUEUED)
        self.failure: OSError | None = None
        """Why writing stopped, if it did."""

    def __enter__(self) -> Recorder:
        with ExitStack() as stack:
            self._files = []
            for path, rate in zip(self.paths, self._rates, strict=True):
                part = stack.enter_context(replacing(path))
                file = soundfile.SoundFile(str(part), "w", rate, 1, "PCM_16", format="WAV")
                self._files.append(stack.enter_context(file))
            self._stack = stack.pop_all()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._queue.put(_END)
        self._thread.join()
        if self.failure is not None and exception[0] is None:
            failure = self.failure
            self._stack.__exit__(type(failure), failure, failure.__traceback__)
            raise failure
        self._stack.__exit__(*exception)  # type: ignore[arg-type]

    def captured(self, block: np.ndarray) -> None:
        """Add ``(n,)`` to the microphone's side; does not wait for the disk."""
        self._add(0, block)

    def played(self, block: np.ndarray) -> None:
        """Add ``(n,)`` to the speaker's side; does not wait for the disk."""
        self._add(1, block)

    def _add(self, side: int, block: np.ndarray) -> None:
        if self.failure is not None or not len(block):
            return
        try:
            self._queue.put_nowait((side, block))
        except queue.Full:
            self.failure = OSError("the disk is too slow for --record")

    def _write(self) -> None:
        while (item := self._queue.get()) is not _END:
            if self.failure is not None:
                continue  # so that nobody waits for room in the queue
            side, block = item
            try:
                self._files[side].write(block)
            # soundfile has no documented exception for a full disk (0.13 fails an assertion).
            except Exception as error:
                reason = str(error) or "is the disk full?"
                self.failure = OSError(f"{self.paths[side]}: cannot be written ({reason})")
