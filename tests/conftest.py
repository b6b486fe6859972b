"""Which tests run by the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

LIVE = (Path(__file__).parent / "plugins" / "call", Path(__file__).parent / "plugins" / "loopback")
"""Calls and live sound: what they measure is time, so nothing else should run beside them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in LIVE):
            item.add_marker(pytest.mark.realtime)
