"""``streamcodec call``: options, messages, figures."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from streamcodec_call import add_commands
from streamcodec_call.command import TOKEN_VARIABLE
from streamcodec_call.errors import CallError


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    return parser.parse_args(["call", *arguments])


def test_options_have_defaults():
    options = parse("serve")
    assert (options.host, options.port, options.origin) == ("127.0.0.1", 8765, [])
    options = parse("join", "ws://x", "--room", "r")
    assert (options.bitrate, options.low_delay, options.seconds) == (2000, False, None)


def test_the_token_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    assert parse("serve").token == "secret"


@pytest.mark.parametrize(
    "wrong",
    [("serve", "--port", "70000"), ("serve", "--max-rooms", "0"), ("join", "ws://x"),
     ("join", "ws://x", "--room", "a b"), ("join", "ws://x", "--room", "r", "--seconds", "-1"),
     ("join", "ws://x", "--room", "r", "--name", "\x1b"),
     ("join", "ws://x", "--room", "r", "--seconds", "nan")],
)  # fmt: skip
def test_wrong_usage_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*wrong)
    assert stop.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ws://h:1/x", "ws://h:1/x"), ("http://h:8765/#room=lab", "ws://h:8765/"),
     ("https://h", "wss://h"), ("wss://[::1]:9", "wss://[::1]:9")],
)  # fmt: skip
def test_the_address_of_the_page_will_do(given, meant):
    assert parse("join", given, "--room", "r").url == meant


@pytest.mark.parametrize("wrong", ["host:8765", "ftp://h", "ws://", "//h"])
def test_what_is_no_address_is_refused_at_once(wrong, capsys):
    with pytest.raises(SystemExit):
        parse("join", wrong, "--room", "r")
    assert "like ws://host:8765" in capsys.readouterr().err


@pytest.fixture
def call(monkeypatch):
    """Run ``streamcodec call join`` in this process, whose threads it is to leave alone."""
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)

    def join(url, *more):
        options = parse("join", url, "--room", "r", "--input", "none", "--output", "none", *more)
        return options.run(options)

    return join


def test_a_relay_that_is_not_there_is_said_clearly(call):
    with pytest.raises(CallError, match="cannot reach the relay"):
        call("ws://127.0.0.1:1")


def test_a_certificate_that_is_none_is_said_clearly(call):
    with pytest.raises(CallError, match="certificate"):
        call("wss://127.0.0.1:1", "--tls-ca", __file__)


@pytest.mark.parametrize("tls", [False, True])
def test_figures_come_as_json(call, capsys, tls):
    certificate = str(Path(__file__).parent / "loopback.pem")
    server = subprocess.Popen(
        [
            sys.executable, "-m", "streamcodec_call", "call", "serve", "--port", "0",
            *(["--tls-cert", certificate] if tls else []),
        ],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        url = server.stdout.readline().split()[-1]
        trust = ("--tls-ca", certificate) if tls else ()
        assert call(url, "--seconds", "0.3", "--json", *trust) == 0
        output = capsys.readouterr()
        figures = json.loads(output.out)
        assert figures["packets_sent"] == figures["reconnects"] == 0
        assert "in the room" in output.err
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_a_problem_gives_one_line_and_a_status():
    done = subprocess.run(
        [sys.executable, "-m", "streamcodec_call", "call", "serve", "--tls-key", "key.pem"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["streamcodec_call: error: --tls-key needs --tls-cert"]
