"""What a server is started with."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .call_settings import DEFAULT_COMPLEXITY
from .errors import CallError
from .ratelimit import DEFAULT_MAX_PER_ADDRESS
from .room import DEFAULT_MAX_PEERS, DEFAULT_MAX_ROOMS

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765

DEFAULT_MAX_BROWSERS = 4
"""Browsers with a codec: each has a process of 175 MB beside what they share."""

DEFAULT_BITRATE = 2000


@dataclass(frozen=True)
class GatewaySettings:
    """What browsers get.

    Attributes
    ----------
    max_browsers : int
        Codec processes at a time; 0: browsers are not served.
    bitrate : int
        bit/s.
    complexity : int
        Search budget of their encoders, 0 ... 10, within a native client's deadline.
    low_delay : bool
        40 ms packets.
    """

    max_browsers: int = DEFAULT_MAX_BROWSERS
    bitrate: int = DEFAULT_BITRATE
    complexity: int = DEFAULT_COMPLEXITY
    low_delay: bool = False


@dataclass(frozen=True)
class ServerSettings:
    """What the relay is started with.

    Attributes
    ----------
    host : str
    port : int
        0: any free one.
    token : str
        Empty: anyone may enter.
    tls_cert, tls_key : Path or None
        Certificate chain and key in PEM; the key may be in the certificate's file.
    max_rooms, max_peers : int
        Rooms, and members of one.
    origins : sequence of str
        Web origins whose pages may connect, beside the server's own page. Clients that are no
        browsers send none.
    max_per_address : int
        Connections of one address; 0: no limit.
    gateway : GatewaySettings
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    token: str = field(default="", repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_rooms: int = DEFAULT_MAX_ROOMS
    max_peers: int = DEFAULT_MAX_PEERS
    origins: Sequence[str] = ()
    max_per_address: int = DEFAULT_MAX_PER_ADDRESS
    gateway: GatewaySettings = field(default_factory=GatewaySettings)


def tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """What encrypts connections; None if nothing does.

    Raises
    ------
    CallError
        Certificate or key cannot be used.
    """
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise CallError("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise CallError(f"the certificate or its key cannot be used: {error}") from error
    return context
