"""What ``streamcodec call serve`` is told, and what it starts with."""

from __future__ import annotations

import argparse

import pytest
from streamcodec_call import add_commands, server
from streamcodec_call.errors import CallError
from streamcodec_call.settings import GatewaySettings, ServerSettings, tls_context


def served(monkeypatch, *arguments):
    """Settings that the command starts the server with."""
    started = []

    async def run_server(settings):
        started.append(settings)

    monkeypatch.setattr(server, "run_server", run_server)
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(["call", "serve", *arguments])
    assert options.run(options) == 0
    return started[0]


def test_defaults(monkeypatch):
    monkeypatch.delenv("STREAMCODEC_CALL_TOKEN", raising=False)
    assert served(monkeypatch) == ServerSettings()


def test_every_option_arrives(monkeypatch, tmp_path):
    found = served(
        monkeypatch, "--host", "::1", "--port", "1", "--token", "key", "--max-rooms", "2",
        "--max-peers", "3", "--origin", "https://a", "--origin", "https://b",
        "--max-per-address", "0", "--max-gateway", "5", "--gateway-bitrate", "3200",
        "--gateway-complexity", "1", "--gateway-low-delay",
        "--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key"),
    )  # fmt: skip
    assert found == ServerSettings(
        "::1", 1, "key", tmp_path / "cert", tmp_path / "key", 2, 3, ("https://a", "https://b"), 0,
        GatewaySettings(5, 3200, 1, True),
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [("--max-gateway", "-1"), ("--max-per-address", "x"), ("--gateway-complexity", "11"),
     ("--gateway-bitrate", "1")],
)  # fmt: skip
def test_wrong_usage_is_refused(monkeypatch, wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        served(monkeypatch, *wrong)
    assert stop.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_key_needs_a_certificate(tmp_path):
    with pytest.raises(CallError, match="--tls-cert"):
        tls_context(ServerSettings(tls_key=tmp_path / "key.pem"))
    assert tls_context(ServerSettings()) is None
