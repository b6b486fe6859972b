"""Compiling the inner loops: numba, once per machine.

Numba compiles a loop at its first call and keeps the machine code in a cache beside the source,
or in the user's cache folder where the source may not be written, so the second process that
calls it does not wait. On a system where neither folder can be written (a read-only container
without a home) numba refuses to cache and raises; there a loop is compiled anew by each process,
which costs a second or two, instead of the library failing to import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile ``function`` at its first call and keep the result on disk where that is possible.

    Neither fast-math nor fused multiply-add contraction is switched on: a sum is added up in the
    order in which the source adds it, so its last bit depends neither on how many frames are
    handed over together nor on where they lie in memory. The global interpreter lock is released
    while a loop runs, so one stream's arithmetic does not stop another's.
    """
    try:
        return cast("Function", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # "no locator available": no folder in which a cache could be kept
        return cast("Function", numba.njit(nogil=True)(function))
