"""Which web pages may connect.

A browser says in ``Origin`` which page opens a websocket. Only the server's own page may, and
those that its operator lists; clients that are no browsers send none.

What a page's own origin is depends on the ``Host`` that the browser asked for, so a name of a
stranger that resolves to this machine (DNS rebinding) would make that stranger's page look like
ours. Names count therefore only if the operator gave them; addresses and ``localhost`` always do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit


class OriginCheck:
    """Compare origins.

    Parameters
    ----------
    listed : iterable of str
        Origins of other pages that may connect.
    host : str
        What the server was told to listen on.
    tls : bool
        Whether it is reached over TLS.
    """

    def __init__(self, listed: Iterable[str] = (), host: str = "", *, tls: bool = False) -> None:
        self._listed = frozenset(origin.rstrip("/").lower() for origin in listed)
        self._names = frozenset({"localhost", host.lower()})
        self._scheme = "https" if tls else "http"

    def admits(self, origins: list[str], hosts: list[str]) -> bool:
        """Whether a request with these ``Origin`` and ``Host`` headers may connect."""
        if not origins:
            return True
        if len(origins) > 1 or len(hosts) > 1:
            return False
        origin = origins[0].lower()
        if origin in self._listed:
            return True
        host = hosts[0].lower() if hosts else ""
        return self._known(host) and origin == f"{self._scheme}://{host}"

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
