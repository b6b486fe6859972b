"""``streamcodec call serve`` and ``streamcodec call join``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from .call_settings import DEFAULT_COMPLEXITY
from .errors import CallError
from .protocol import MAX_NAME, MAX_TOKEN, ROOM_PATTERN

if TYPE_CHECKING:
    from . import Commands
    from .client import CallClient

TOKEN_VARIABLE = "STREAMCODEC_CALL_TOKEN"
"""Environment variable for the token: command lines are seen by every user of a machine."""

HIGHEST_PORT = 65_535
TABLE_WIDTH = 20


def add_command(commands: Commands) -> None:
    """Add ``call`` and what is under it."""
    call = commands.add_parser("call", help="talk to others through a relay")
    below = call.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(below.add_parser("serve", help="run a relay"))
    _add_join(below.add_parser("join", help="take part in a call"))


def _add_serve(parser: ArgumentParser) -> None:
    from .ratelimit import DEFAULT_MAX_PER_ADDRESS
    from .room import DEFAULT_MAX_PEERS, DEFAULT_MAX_ROOMS
    from .settings import DEFAULT_BITRATE, DEFAULT_MAX_BROWSERS

    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_number(0, HIGHEST_PORT), default=8765, help="(%(default)s)")
    _add_token(parser)
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--max-rooms", type=_number(1, 100_000), default=DEFAULT_MAX_ROOMS)
    parser.add_argument(
        "--max-peers", type=_number(1, 1000), default=DEFAULT_MAX_PEERS, help="in one room"
    )
    parser.add_argument(
        "--origin", action="append", default=[], metavar="URL",
        help="web origin whose pages may connect; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--max-per-address", type=_number(0, 100_000), default=DEFAULT_MAX_PER_ADDRESS,
        help="connections of one address (%(default)s); 0: no limit, as behind a proxy",
    )  # fmt: skip
    parser.add_argument(
        "--max-gateway", type=_number(0, 1000), default=DEFAULT_MAX_BROWSERS, metavar="N",
        help="browsers that this server runs the codec for at a time (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--gateway-bitrate", type=_number(600, 16_000), default=DEFAULT_BITRATE, help="bit/s"
    )
    parser.add_argument(
        "--gateway-complexity", type=_number(0, 10), default=DEFAULT_COMPLEXITY,
        help="search budget of each browser's encoder (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--gateway-low-delay", action="store_true", help="40 ms packets")
    parser.set_defaults(run=serve)


def _add_join(parser: ArgumentParser) -> None:
    parser.add_argument(
        "url", metavar="URL", type=_url, help="of the relay or its page, ws://... or wss://..."
    )
    parser.add_argument("--room", type=_room, required=True)
    parser.add_argument("--name", type=_name, default="guest", help="(%(default)s)")
    _add_token(parser)
    parser.add_argument(
        "--input", default="default", metavar="FILE|DEVICE|none", help="what to send"
    )
    parser.add_argument(
        "--output", default="default", metavar="FILE|DEVICE|none", help="where to play"
    )
    parser.add_argument("--bitrate", type=_number(600, 16_000), default=2000, help="bit/s")
    parser.add_argument(
        "--complexity", type=_number(0, 10), default=DEFAULT_COMPLEXITY,
        help="search budget, used as far as there is time (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--tls-ca", type=Path, metavar="FILE", help="certificate to trust instead of the system's"
    )
    parser.add_argument("--low-delay", action="store_true", help="40 ms packets")
    parser.add_argument("--seconds", type=_seconds, help="length of the call")
    parser.add_argument(
        "--mute", action="store_true", help="start muted; 'm' and Enter toggles, 'q' leaves"
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON at the end")
    parser.set_defaults(run=join)


def _add_token(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--token", type=_token, default=os.environ.get(TOKEN_VARIABLE, ""),
        help=f"secret of the relay (or set {TOKEN_VARIABLE})",
    )  # fmt: skip


def serve(options: Namespace) -> int:
    """Run a relay until it is told to stop."""
    from .server import run_server
    from .settings import GatewaySettings, ServerSettings

    settings = ServerSettings(
        host=options.host,
        port=options.port,
        token=options.token,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        max_rooms=options.max_rooms,
        max_peers=options.max_peers,
        origins=tuple(options.origin),
        max_per_address=options.max_per_address,
        gateway=GatewaySettings(
            options.max_gateway,
            options.gateway_bitrate,
            options.gateway_complexity,
            options.gateway_low_delay,
        ),
    )
    asyncio.run(run_server(settings))
    return 0


def join(options: Namespace) -> int:
    """Take part in a call."""
    figures = asyncio.run(_join(options))
    if options.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            shown = f"{value:.3f}" if isinstance(value, float) else str(value)
            print(f"{key.replace('_', ' '):<{TABLE_WIDTH}} {shown}")
    return 0


async def _join(options: Namespace) -> dict[str, Any]:
    import torch

    from .call_settings import CallSettings
    from .client import CallClient
    from .media import open_sink, open_source

    # Packets are small: more threads would only wait for each other.
    torch.set_num_threads(1)
    settings = CallSettings(
        url=options.url,
        room=options.room,
        name=options.name,
        token=options.token,
        bitrate=options.bitrate,
        complexity=options.complexity,
        low_delay=options.low_delay,
        seconds=options.seconds,
        muted=options.mute,
        tls=_trust(options.tls_ca),
    )
    with closing(open_source(options.input)) as source, closing(open_sink(options.output)) as sink:
        client = CallClient(settings, source, sink, tell=lambda text: print(text, file=sys.stderr))
        with _controls(client):
            return await client.run()


@contextmanager
def _controls(client: CallClient) -> Iterator[None]:
    """Listen to signals and, where there is one, to the keyboard during a call."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, client.stop)
    keyboard = sys.stdin is not None and sys.stdin.isatty()
    if keyboard:
        loop.add_reader(sys.stdin, _obey_line, client)
    try:
        yield
    finally:
        if keyboard:
            loop.remove_reader(sys.stdin)


def _obey_line(client: CallClient) -> None:
    line = sys.stdin.readline().strip().lower()
    if line == "m":
        client.muted = not client.muted
        print("muted" if client.muted else "not muted", file=sys.stderr)
    elif line == "q":
        client.stop()


def _trust(certificate: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise CallError(f"{certificate} is no certificate that can be trusted: {error}") from error


def _number(low: int, high: int) -> Any:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise ArgumentTypeError(f"expected a whole number of {low}..{high}, found {text!r}")
        return value

    return number


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ArgumentTypeError(f"expected seconds above 0, found {text!r}")
    return value


def _url(text: str) -> str:
    """A relay's address; that of its web page will do."""
    parts = urlsplit(text)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ArgumentTypeError(f"expected an address like ws://host:8765, found {text!r}")
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))


def _room(text: str) -> str:
    if not ROOM_PATTERN.fullmatch(text):
        raise ArgumentTypeError("expected 1..64 letters, digits, dots, dashes or underscores")
    return text


def _name(text: str) -> str:
    if not (text.strip() and text.isprintable() and len(text) <= MAX_NAME):
        raise ArgumentTypeError(f"expected 1..{MAX_NAME} printable characters")
    return text.strip()


def _token(text: str) -> str:
    if not text.isprintable() or len(text) > MAX_TOKEN:
        raise ArgumentTypeError(f"expected at most {MAX_TOKEN} printable characters")
    return text
