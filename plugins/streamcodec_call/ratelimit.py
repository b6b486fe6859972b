"""How much one connection, and one address, may ask for. No clock: the caller tells the time."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

DEFAULT_MAX_PER_ADDRESS = 64
"""Connections of one address at a time: an office behind one router, and no more."""

REQUEST_RATE = 10.0
REQUEST_BURST = 150.0
"""New connections of one address, a second and at once. A browser takes one for each of about a
dozen files of the page."""

WRONG_TOKEN_COST = 15.0
"""New connections that a wrong token counts for, so that an address has ten guesses at once and
two in three seconds after that."""

IPV6_PREFIX = 64
"""Bits of an IPv6 address that stand for one site (RFC 6177, section 2)."""


class TokenBucket:
    """Allow ``rate`` events a second on average and ``burst`` at once."""

    __slots__ = ("_burst", "_level", "_rate", "_then")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._then = now

    def take(self, now: float) -> bool:
        """Whether an event at ``now`` is within the limits."""
        self._fill(now)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def spend(self, events: float) -> None:
        """Count ``events`` as taken, as far as there are any left."""
        self._level = max(0.0, self._level - events)

    def full(self, now: float) -> bool:
        """Whether nothing was taken for so long that it might as well be new."""
        self._fill(now)
        return self._level >= self._burst

    def _fill(self, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._then) * self._rate)
        self._then = now


@dataclass(slots=True)
class _Site:
    """What is known of one address."""

    requests: TokenBucket
    open: int = 0


class AddressLimits:
    """Limit connections by the address that they come from.

    Parameters
    ----------
    most : int
        Connections of one address at a time; 0: addresses are not limited, neither in number nor
        in rate, as behind a proxy, where all have the same.
    """

    def __init__(self, most: int = DEFAULT_MAX_PER_ADDRESS) -> None:
        self._most = most
        self._sites: dict[str, _Site] = {}

    def __len__(self) -> int:
        return len(self._sites)

    def open(self, address: str, now: float) -> bool:
        """Count a connection; False if it is one too many. It is to be closed either way."""
        site = self._site(address, now)
        site.open += 1
        return not self._most or (site.open <= self._most and site.requests.take(now))

    def close(self, address: str) -> None:
        """A connection that was counted is gone."""
        self._sites[site_of(address)].open -= 1

    def wrong_token(self, address: str, now: float) -> None:
        """Someone at this address said a wrong token."""
        self._site(address, now).requests.spend(WRONG_TOKEN_COST)

    def tick(self, now: float) -> None:
        """Forget addresses of which nothing is left to remember."""
        for key in [k for k, s in self._sites.items() if not s.open and s.requests.full(now)]:
            del self._sites[key]

    def _site(self, address: str, now: float) -> _Site:
        key = site_of(address)
        if key not in self._sites:
            self._sites[key] = _Site(TokenBucket(REQUEST_RATE, REQUEST_BURST, now))
        return self._sites[key]


def site_of(address: str) -> str:
    """What is counted together: an IPv4 address, the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has none
        return address
    if found.version == 6:
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)
