"""The page's files: served with the right headers, and nothing else is."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from streamcodec_call import leg, web
from streamcodec_call.ratelimit import REQUEST_BURST
from streamcodec_call.server import CallServer
from streamcodec_call.settings import GatewaySettings, ServerSettings
from websockets.datastructures import Headers
from websockets.http11 import Request

FOLDER = Path(web.__file__).parent / "web"
SITE = web.Site()


def ask(path, method="GET", **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return SITE.respond(Request(path, Headers(fields), method))


def test_every_file_is_served_as_what_it_is():
    assert set(SITE.paths) == {"/", *(f"/{path.name}" for path in FOLDER.iterdir())}
    for path in FOLDER.iterdir():
        answer = ask(f"/{path.name}")
        assert answer.status_code == 200
        assert answer.body == path.read_bytes()
        assert answer.headers["Content-Type"] == web.CONTENT_TYPES[path.suffix]
        assert answer.headers["Content-Length"] == str(len(answer.body))
    assert ask("/").body == ask("/index.html").body == ask("/?x=1").body


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/web/../../server.py", "/%2e%2e/server.py", "/..%2fserver.py",
     "//etc/passwd", "/etc/passwd", "/index.html/", "/INDEX.HTML", "/.", "/web", "", "*",
     "/\\..\\server.py", "http://other/index.html", "/index.html%00.js", "/<script>"],
)  # fmt: skip
def test_nothing_else_is_served_and_nothing_is_reflected(path):
    answer = ask(path)
    assert answer.status_code == 404
    assert answer.body == b"there is no such page\n"
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/app.js", "/missing"])
def test_every_answer_forbids_what_the_page_does_not_need(path):
    headers = ask(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Server" not in headers


def test_copies_are_kept_and_asked_for():
    first = ask("/app.js")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for wanted in (tag, f"W/{tag}", f'"other", {tag}'):
        again = ask("/app.js", If_None_Match=wanted)
        assert (again.status_code, again.body) == (304, b"")
        assert again.headers["ETag"] == tag
    assert ask("/app.js", If_None_Match='"other"').status_code == 200
    assert ask("/style.css").headers["ETag"] != tag


def test_head_has_the_headers_alone():
    whole, head = ask("/"), ask("/", "HEAD")
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(whole.body))
    assert ask("/missing", "HEAD").body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "EVIL"])
def test_other_methods_are_refused(method):
    answer = ask("/", method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert b"EVIL" not in answer.body


def test_the_page_uses_nothing_of_others_and_makes_no_markup_of_strings():
    for path in FOLDER.iterdir():
        text = path.read_text()
        links = re.findall(r"(?:https?:)?//[a-z0-9.]+", re.sub(r"^\s*//.*$", "", text, flags=re.M))
        assert set(links) <= {"http://www.w3.org"}  # the name space of SVG
        for danger in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(",
                       "Function(", " style=", " onclick", "javascript:"):  # fmt: skip
            assert danger not in text, (path.name, danger)


def test_page_and_server_agree_on_the_leg():
    text = (FOLDER / "frames.js").read_text()

    def constant(name):
        return re.search(rf"const {name} = (.*);", text)[1]

    assert int(constant("VERSION")) == leg.LEG_VERSION
    assert constant("PATH") == f'"{leg.LEG_PATH}"'
    assert tuple(map(int, re.findall(r"\d+", constant("RATES")))) == leg.RATES
    assert int(constant("PLAYED_RATE")) == leg.PLAYED_RATE
    assert [int(constant(n)) for n in ("PCM", "SILENCE", "LEVELS")] == [
        leg.PCM, leg.SILENCE, leg.LEVELS
    ]  # fmt: skip


# -- on a socket


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30.0))


async def fetch(port, request):
    """All that comes back for the bytes of a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def get(path=b"/", more=b"", method=b"GET"):
    return method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n"


def server(**settings):
    return CallServer(ServerSettings(port=0, **settings))


def test_the_page_comes_over_a_socket():
    async def scene():
        async with server() as calls:
            assert calls.page_url == f"http://127.0.0.1:{calls.port}/"
            for path in SITE.paths:
                head, _, body = (await fetch(calls.port, get(path.encode()))).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK")
                assert body == ask(path).body
            head, _, body = (await fetch(calls.port, get(method=b"HEAD"))).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == b""
            assert (await fetch(calls.port, get(b"/../server.py"))).startswith(b"HTTP/1.1 404")
            assert (await fetch(calls.port, get(method=b"POST"))).startswith(b"HTTP/1.1 405")

    run(scene())


def test_a_relay_without_gateway_has_no_page():
    async def scene():
        async with server(gateway=GatewaySettings(max_browsers=0)) as calls:
            assert (await fetch(calls.port, get())).startswith(b"HTTP/1.1 404")

    run(scene())


@pytest.mark.parametrize(
    "request_bytes",
    [b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", get(more=b"X: " + b"y" * 20_000 + b"\r\n"),
     get(b"/" + b"a" * 20_000), get(more=b"Content-Length: 99999999999\r\n", method=b"POST"),
     get(more=b"A: b\r\n" * 500), b"GET /\xff HTTP/1.1\r\n\r\n"],
)  # fmt: skip
def test_hostile_requests_do_no_harm(request_bytes):
    async def scene():
        async with server() as calls:
            answer = await fetch(calls.port, request_bytes)
            assert not answer.startswith(b"HTTP/1.1 2")
            assert not answer.startswith(b"HTTP/1.1 5")
            assert (await fetch(calls.port, get())).startswith(b"HTTP/1.1 200")

    run(scene())


def test_an_address_that_asks_too_much_is_told_to_wait():
    async def scene():
        async with server(max_per_address=1000) as calls:
            answers = [await fetch(calls.port, get(b"/x")) for _ in range(int(REQUEST_BURST) + 60)]
            kinds = [answer[9:12] for answer in answers]
            assert kinds[: int(REQUEST_BURST)] == [b"404"] * int(REQUEST_BURST)
            assert b"429" in kinds

    run(scene())
