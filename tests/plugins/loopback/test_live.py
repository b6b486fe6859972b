"""The command for real: PortAudio, ALSA and PulseAudio, a voice in and what leaves the speaker."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from types import SimpleNamespace

import pytest

from bench import loopback
from bench.virtual_sound import ALSA_CONFIGURATION, ALSA_TEXT, VirtualSoundCard
from tests.signals import real_speech

TAKES = 3
"""A machine that is short of processor time may spoil one or two; the last one has to be good."""

PATIENCE = 60.0


@pytest.fixture(scope="module")
def card():
    with VirtualSoundCard() as made:
        yield made


def test_a_voice_goes_in_and_comes_out(card):
    clip = real_speech(6.0)
    for _ in range(TAKES):
        result = loopback.run(card, clip, 5.0, ["--complexity", "1"], ahead=True)
        figures, report = loopback.score(result), result.report
        if report["underruns"] == 0 and figures.get("windows", 0) >= 4:
            break
    # A level contour as like as this, and PESQ of decoded speech: it is this voice, through this
    # codec, in one piece.
    assert figures["windows"] >= 4
    assert figures["correlation"] > 0.95
    assert 2.0 < figures["pesq_wb"] < 4.4
    assert 1.0 < report["kbit_s"] < 2.2
    assert report["input_rate"] == report["output_rate"] == 16_000
    # The time stamps' delay is the recordings' delay; it cannot be less than the codec's own.
    assert report["delay_ms"] == pytest.approx(figures["delay_ms"], abs=50.0)
    assert 110.0 < figures["delay_ms"] < 500.0


def test_keys_on_a_terminal_change_what_is_heard(card, tmp_path):
    master, slave = pty.openpty()
    loop = loopback.start(
        card,
        ["--json", "--complexity", "0", "--rate", "48000", "--record", str(tmp_path / "take")],
        ahead=True, stdin=slave, stderr=slave, stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(slave)
    shown = wait_for(master, "underruns")
    for key, sign in (("b", "BYPASS"), ("\x1b[A", "asked 3.2"), ("-+", "complexity 1"),
                      ("l", "loss 5 %")):  # fmt: skip
        os.write(master, key.encode())
        shown += wait_for(master, sign)
    time.sleep(1.0)
    os.write(master, b"q")
    output = drain(loop, master)
    assert loop.returncode == 0
    report = json.loads(output)
    assert report["bypass"] is True
    assert (report["bitrate"], report["complexity"], report["loss_percent"]) == (3200, 1, 5.0)
    assert report["input_rate"] == 48_000
    assert "\x1b[?25l" in shown
    assert sorted(p.name for p in tmp_path.iterdir()) == ["take-in.wav", "take-out.wav"]
    assert min(p.stat().st_size for p in tmp_path.iterdir()) > 48_000


def test_a_card_that_goes_away_is_told_in_one_line(tmp_path):
    with VirtualSoundCard() as gone:
        loop = loopback.start(
            gone, ["--complexity", "0", "--record", str(tmp_path / "take")],
            ahead=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert "real time" in loop.stderr.readline()
        gone.unplug()
        output, errors = loop.communicate(timeout=PATIENCE)
    assert loop.returncode == 1
    told = [line for line in errors.splitlines() if "kbit/s" not in line]
    assert len(told) == 1
    assert "is gone" in told[0]
    assert "unplugged" in told[0]
    assert output == ""
    assert len(list(tmp_path.iterdir())) == 2  # what was recorded until then is kept


def test_devices_are_listed_and_chosen_by_name(card):
    done = run_to_end(card, "--list-devices", "--json")
    devices = json.loads(done.stdout)
    assert {"input", "output"} <= {kind for device in devices for kind in device["default"]}
    chosen = next(d for d in devices if d["default"])
    for name in (str(chosen["number"]), chosen["name"]):
        done = run_to_end(card, "--json", "--seconds", "0.5", "--complexity", "0", "--input", name)
        assert done.returncode == 0
        assert json.loads(done.stdout)["input"] == chosen["name"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "no such thing"], "no input device is called 'no such thing'"),
        (["--output", "99"], "there is no output device 99"),
        (["--bitrate", "5"], "bitrate must lie between"),
        (["--record", "/nowhere/at/all"], "no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(card, options, message):
    done = run_to_end(card, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_a_sound_server_that_is_not_there_is_said_in_one_line(tmp_path):
    rc = tmp_path / "asoundrc"
    rc.write_text(ALSA_TEXT.format(base=ALSA_CONFIGURATION, server="unix:/nowhere", name="none"))
    card = SimpleNamespace(environment={**os.environ, "ALSA_CONFIG_PATH": str(rc)})
    done = run_to_end(card, "--input", "default")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "streamcodec_loopback: error: no input device is called 'default'; choose from "
        "'streamcodec loopback --list-devices'"
    ]


def run_to_end(card, *options):
    loop = loopback.start(
        card, list(options), ahead=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = loop.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(loop.args, loop.returncode, output, errors)


def wait_for(master, sign):
    """Read the terminal until it shows ``sign``."""
    shown = ""
    end = time.monotonic() + PATIENCE
    while sign not in shown:
        assert time.monotonic() < end, f"{sign!r} is not shown: {shown[-800:]}"
        if select.select([master], [], [], 1.0)[0]:
            shown += os.read(master, 4096).decode(errors="replace")
    return shown


def drain(loop, master):
    """Read the terminal until the command has ended; gives its standard output."""
    end = time.monotonic() + PATIENCE
    while loop.poll() is None and time.monotonic() < end:
        try:
            if select.select([master], [], [], 0.1)[0]:
                os.read(master, 4096)
        except OSError:  # the other side is closed
            time.sleep(0.05)
    output, _ = loop.communicate(timeout=PATIENCE)
    os.close(master)
    return output
