"""What the benches' command lines share."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch


class _Part(Protocol):
    @property
    def name(self) -> str:
        """As given on the command line."""

    def available(self) -> str | None:
        """Why it cannot run on this machine, or ``None`` if it can."""


Part = TypeVar("Part", bound=_Part)


def only_available(items: Iterable[Part], missing: dict[str, str]) -> list[Part]:
    """Those that can run; the others go to ``missing`` with the reason."""
    able = []
    for item in items:
        reason = item.available()
        if reason is None:
            able.append(item)
        else:
            missing[item.name] = reason
    return able


class _Result(Protocol):
    @property
    def codec(self) -> str:
        """Name of the codec that it is of."""

    @property
    def errors(self) -> Sequence[str]:
        """What went wrong."""


def failures(results: Iterable[_Result], missing: Mapping[str, str], things: str) -> list[str]:
    """Codecs that this machine lacks, and ``things`` that a codec failed on: one line each."""
    notes = [f"{name}: not available: {reason}" for name, reason in missing.items()]
    first: dict[str, list[str]] = {}
    for result in results:
        if result.errors:
            first.setdefault(result.codec, []).append(result.errors[0])
    for codec, errors in first.items():
        notes.append(f"{codec}: errors on {len(errors)} {things}, the first: {errors[0]}")
    return notes


def finite(value: Any) -> Any:
    """A JSON document with ``None`` in the place of what is not a finite number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def one_thread() -> None:
    """Keep every library to one thread: speeds are quoted for one core."""
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # It has read the environment when it was imported.
    torch.set_num_threads(1)
