"""Which pages may connect."""

from __future__ import annotations

import pytest
from streamcodec_call.origin import OriginCheck


@pytest.mark.parametrize(
    ("origin", "host", "admitted"),
    [
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://localhost:8765", "localhost:8765", True),
        ("http://LOCALHOST:8765", "localhost:8765", True),
        ("http://192.0.2.7", "192.0.2.7", True),
        ("http://[::1]:8765", "[::1]:8765", True),
        ("http://call.example:8765", "call.example:8765", True),
        ("https://listed.example", "whatever.example", True),
        ("https://127.0.0.1:8765", "127.0.0.1:8765", False),
        ("http://127.0.0.1:1", "127.0.0.1:8765", False),
        ("http://localhost:8765", "127.0.0.1:8765", False),
        ("http://evil.example", "127.0.0.1:8765", False),
        # A name of a stranger's that resolves to this machine.
        ("http://evil.example:8765", "evil.example:8765", False),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("http://127.0.0.1@evil.example", "127.0.0.1@evil.example", False),
        ("null", "127.0.0.1:8765", False),
        ("", "", False),
        ("http://", "", False),
        ("http://[::1", "[::1", False),
    ],
)
def test_own_and_listed_pages_are_admitted(origin, host, admitted):
    check = OriginCheck(["https://listed.example/"], "call.example")
    assert check.admits([origin], [host]) is admitted


def test_tls_makes_another_origin():
    check = OriginCheck(tls=True)
    assert check.admits(["https://127.0.0.1:8765"], ["127.0.0.1:8765"])
    assert not check.admits(["http://127.0.0.1:8765"], ["127.0.0.1:8765"])


def test_clients_that_are_no_browsers_send_none():
    assert OriginCheck().admits([], ["evil.example"])


def test_repeated_headers_are_refused():
    check = OriginCheck(["http://a"])
    assert not check.admits(["http://a", "http://a"], ["a"])
    assert not check.admits(["http://a"], ["a", "b"])
