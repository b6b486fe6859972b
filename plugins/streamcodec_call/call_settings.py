"""How to take part in a call."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

DEFAULT_COMPLEXITY = 6
"""The library's own default, as far as the deadline leaves time for it."""

DEADLINE_SHARE = 0.2
"""Share of a packet's duration that its search may take: 16 ms of 80, 8 ms of 40. The search looks
at the clock between steps of some milliseconds, and all that it takes is delay to who listens:
encoding a packet takes about 28 and 12 ms in all (``bench/call_delay.py`` prints it)."""


@dataclass(frozen=True)
class CallSettings:
    """How to take part in a call.

    Attributes
    ----------
    url : str
        ``ws://`` or ``wss://``.
    room, name, token : str
    bitrate : int
        bit/s.
    complexity : int
        Search budget of a packet, 0 ... 10, within ``deadline_share``.
    low_delay : bool
        40 ms packets.
    seconds : float or None
        Length of the call; None: until the recording ends, or for ever.
    muted : bool
        At the start.
    tls : ssl.SSLContext or None
        None: the system's certificates.
    deadline_share : float
        Share of a packet's duration after which its search is cut short.
    """

    url: str
    room: str
    name: str = "guest"
    token: str = field(default="", repr=False)
    bitrate: int = 2000
    complexity: int = DEFAULT_COMPLEXITY
    low_delay: bool = False
    seconds: float | None = None
    muted: bool = False
    tls: ssl.SSLContext | None = None
    deadline_share: float = DEADLINE_SHARE
