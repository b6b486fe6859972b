"""Fields of JSON text frames, read with their limits checked.

Messages of :class:`ProtocolError` name the field and never what was found in it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import ProtocolError
from .limits import MAX_CAPABILITIES, MAX_NAME, WORD_PATTERN


def parse_object(text: str, limit: int) -> dict[str, Any]:
    """The JSON object with a ``type`` in a text frame of at most ``limit`` characters.

    Raises
    ------
    ProtocolError
        It is too long or no such object.
    """
    if len(text) > limit:
        raise ProtocolError(f"expected a text frame of at most {limit} characters")
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("expected a JSON object in a text frame") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise ProtocolError("expected a JSON object with a type in a text frame")
    return found


def _refuse_constant(_name: str) -> float:
    raise ValueError("NaN and infinities are no JSON")


def integer(found: dict[str, Any], key: str, low: int, high: int, default: Any = None) -> int:
    """The integer of ``low`` to ``high`` under ``key``."""
    value = found.get(key, default)
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"expected an integer of {low}..{high} as {key}")
    return value


def string(found: dict[str, Any], key: str, most: int, default: Any = None) -> str:
    """The string of at most ``most`` printable characters under ``key``."""
    value = found.get(key, default)
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ProtocolError(f"expected at most {most} printable characters as {key}")
    return value


def match(found: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    """The string under ``key``, all of which matches ``pattern``."""
    value = found.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ProtocolError(f"expected {key} to match {pattern.pattern}")
    return value


def name(found: dict[str, Any]) -> str:
    """The member's name, without space around it."""
    stripped = string(found, "name", MAX_NAME).strip()
    if not stripped:
        raise ProtocolError(f"expected a name of 1..{MAX_NAME} printable characters")
    return stripped


def capabilities(found: dict[str, Any]) -> tuple[str, ...]:
    """The member's capabilities; none if the field is missing."""
    words = found.get("capabilities", [])
    if (
        not isinstance(words, list)
        or len(words) > MAX_CAPABILITIES
        or not all(isinstance(word, str) and WORD_PATTERN.fullmatch(word) for word in words)
    ):
        raise ProtocolError(f"expected at most {MAX_CAPABILITIES} short words as capabilities")
    return tuple(words)
