"""Codecs that are C libraries of the system, called through ctypes: what they have in common."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from ctypes import POINTER, c_int16, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers import FrameCodec

MAX_PACKET = 1500
"""Room for one packet, bytes; more than any codec here can write."""


@cache
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
        return f"1:{','.join(Path(lib._name).name for lib in self.loaded())}"

    def loaded(self) -> Iterator[ctypes.CDLL]:
        """The libraries, in the order of ``libraries``."""
        for names in self.libraries:
            library = load_library(*names)
            if library is None:
                raise OSError(f"{self.name}: {self.available()}")
            yield library


def shorts(samples: NDArray[np.int16]) -> Any:
    """A C array of 16-bit integers in the memory of ``samples``."""
    return samples.ctypes.data_as(POINTER(c_int16))


class Handle:
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
