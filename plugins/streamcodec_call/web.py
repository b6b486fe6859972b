"""The web page's files and how they are served.

All files are read once; a request is answered from a table by its exact path, so there is no
path on disk that a request could choose. The headers forbid the page everything that it does not
need: no script but ours, no markup made of strings (Trusted Types), no other server, no frame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from importlib.resources import files

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

INDEX = "index.html"

CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
    "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    "require-trusted-types-for 'script'", "trusted-types 'none'",
))  # fmt: skip

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class _File:
    body: bytes
    content_type: str
    etag: str


class Site:
    """The page's files, ready to be served."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        for entry in (files(__package__) / "web").iterdir():
            suffix = "." + entry.name.rpartition(".")[2]
            if suffix in CONTENT_TYPES:
                body = entry.read_bytes()
                etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                self._files[f"/{entry.name}"] = _File(body, CONTENT_TYPES[suffix], etag)
        self._files["/"] = self._files[f"/{INDEX}"]

    @property
    def paths(self) -> tuple[str, ...]:
        """What can be asked for."""
        return tuple(self._files)

    def respond(self, request: Request) -> Response:
        """Answer a request that wants no websocket."""
        head = request.method == "HEAD"
        if request.method not in ("GET", "HEAD"):
            refusal = text_response(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")
            refusal.headers["Allow"] = "GET, HEAD"
            return refusal
        found = self._files.get(request.path.partition("?")[0])
        if found is None:
            return text_response(HTTPStatus.NOT_FOUND, "there is no such page", head=head)
        wanted = ",".join(request.headers.get_all("If-None-Match"))
        if found.etag in (tag.strip().removeprefix("W/") for tag in wanted.split(",")):
            return _response(HTTPStatus.NOT_MODIFIED, b"", {"ETag": found.etag}, head=True)
        headers = {
            "Content-Type": found.content_type,
            "Content-Length": str(len(found.body)),
            "ETag": found.etag,
        }
        return _response(HTTPStatus.OK, found.body, headers, head=head)


def text_response(status: HTTPStatus, text: str, *, head: bool = False) -> Response:
    """A line of plain text; nothing of the request is in it."""
    body = f"{text}\n".encode()
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
    return _response(status, body, headers, head=head)


def _response(status: HTTPStatus, body: bytes, headers: dict[str, str], *, head: bool) -> Response:
    # "no-cache" keeps copies but asks each time: page and server always match.
    common = {
        "Date": formatdate(usegmt=True), "Connection": "close", "Cache-Control": "no-cache",
        **SECURITY_HEADERS,
    }  # fmt: skip
    return Response(status.value, status.phrase, Headers(common | headers), b"" if head else body)
