"""A sound card without hardware: PulseAudio with a microphone and a speaker that are null sinks.

The daemon is one of our own: its socket, state and configuration lie in a temporary folder, no
other PulseAudio or PipeWire on the machine is touched, and it ends with the context. It runs as
any user, root in a container included, and needs neither D-Bus nor a session.

What is played into the sink ``virtual-microphone`` is what programs capture; what they play goes
to the sink ``virtual-speaker``. Both can be recorded. Programs started with
:attr:`VirtualSoundCard.environment` find the two as PortAudio's default devices, by way of ALSA's
plugin for PulseAudio.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
MICROPHONE, SPEAKER = "virtual-microphone", "virtual-speaker"

PROGRAMS = ("pulseaudio", "pactl", "pacat", "parec")
ALSA_CONFIGURATION = Path("/usr/share/alsa/alsa.conf")
PLUGIN = "libasound_module_pcm_pulse.so"

START_SECONDS = 20.0
"""For which the daemon may take to answer; it takes 0.1 s on an idle machine."""

LATENCY_MS = 10
"""Asked for by who plays and records: chunks of this length travel."""

READ_BYTES = 1 << 14

ALSA_TEXT = """\
<{base}>
pcm.!default {{ type pulse server "{server}" hint {{ show on description "{name}" }} }}
ctl.!default {{ type pulse server "{server}" }}
"""


class VirtualSoundError(RuntimeError):
    """The virtual sound card cannot be made."""


def require_programs() -> None:
    """Check that what the card is made of is installed.

    Raises
    ------
    VirtualSoundError
        Something is missing; the message names the Debian packages.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    folders = [Path("/usr/lib"), Path("/usr/lib64")]
    if not any(True for folder in folders for _ in folder.glob(f"**/alsa-lib/{PLUGIN}")):
        missing.append(PLUGIN)
    if missing:
        raise VirtualSoundError(
            f"a virtual sound card needs {', '.join(missing)}; on Debian and Ubuntu install: "
            "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
        )


def put_ahead(session: int) -> None:
    """Rank a session before everything else on the machine, where the system allows that.

    Linux shares processor time between sessions first; niceness counts inside of one.

    Parameters
    ----------
    session : int
        Process that was started in a session of its own.
    """
    with suppress(OSError):
        Path(f"/proc/{session}/autogroup").write_text("-11")


class MonitorRecording:
    """What passes through a sink, as it passes.

    Parameters
    ----------
    sink : str
        Name of the sink.
    environment : dict
        Of the card.
    """

    def __init__(self, sink: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [
                "parec", f"--device={sink}.monitor", "--raw", "--format=float32le",
                f"--rate={SAMPLE_RATE}", "--channels=1", f"--latency-msec={LATENCY_MS}",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        self._data = bytearray()
        self._begun = float("inf")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        output = self._process.stdout
        while output is not None and (data := os.read(output.fileno(), READ_BYTES)):
            self._data += data
            # Chunks come late at times, but never early: the least is the truth.
            past = len(self._data) / (4 * SAMPLE_RATE)
            self._begun = min(self._begun, time.monotonic() - past)

    @property
    def seconds(self) -> float:
        """Recorded so far."""
        return len(self._data) / (4 * SAMPLE_RATE)

    @property
    def began(self) -> float:
        """``time.monotonic()`` of the first sample, to about a chunk."""
        return self._begun

    def stop(self) -> NDArray[np.float32]:
        """End; gives the sound, shape (n,), at 16 kHz."""
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        whole = len(self._data) // 4 * 4
        return np.frombuffer(bytes(self._data[:whole]), "<f4").copy()


class VirtualSoundCard:
    """The daemon and its two sinks, for the length of a ``with`` block.

    Raises
    ------
    VirtualSoundError
        On entering: a program is missing, or the daemon does not start.
    """

    def __enter__(self) -> VirtualSoundCard:
        require_programs()
        # Not the caller's temporary folder: a socket's path may have 107 characters.
        self._folder = tempfile.mkdtemp(prefix="sound-", dir="/tmp")
        folder = Path(self._folder)
        server = f"unix:{folder / 'native'}"
        (folder / "asoundrc").write_text(
            ALSA_TEXT.format(base=ALSA_CONFIGURATION, server=server, name="virtual sound card")
        )
        self.environment = {
            **os.environ,
            "ALSA_CONFIG_PATH": str(folder / "asoundrc"),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_CONFIG_PATH": str(folder),
            "PULSE_SERVER": server,
            "XDG_RUNTIME_DIR": str(folder),
        }
        # Nothing of a desktop session's may leak in.
        for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "PULSE_SINK", "PULSE_SOURCE"):
            self.environment.pop(name, None)
        self._log = (folder / "log").open("w+")
        self._daemon: subprocess.Popen[bytes] | None = None
        try:
            self._start(folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, folder: Path) -> None:
        sink = f"module-null-sink rate={SAMPLE_RATE} channels=1 format=float32le norewinds=1"
        # No cookie: it would be written to the user's home, which there may not be.
        protocol = (
            "module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 "
            f"socket={folder / 'native'}"
        )
        # Without norewinds a null sink runs two seconds ahead and then waits for as long.
        self._daemon = subprocess.Popen(
            [
                "pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
                "--disable-shm=yes", "--realtime=no", "--high-priority=yes",
                "--log-target=stderr", "--log-level=notice",
                "-L", protocol,
                "-L", f"{sink} sink_name={MICROPHONE}",
                "-L", f"{sink} sink_name={SPEAKER}",
            ],
            stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, env=self.environment,
            start_new_session=True,
        )  # fmt: skip
        put_ahead(self._daemon.pid)  # hardware would not wait for other programs either
        end = time.monotonic() + START_SECONDS
        while self._control("set-default-sink", SPEAKER) != 0:
            if self._daemon.poll() is not None or time.monotonic() > end:
                self._log.seek(0)
                raise VirtualSoundError(f"pulseaudio does not start: {self._log.read()[-2000:]}")
            time.sleep(0.05)
        if self._control("set-default-source", f"{MICROPHONE}.monitor") != 0:
            raise VirtualSoundError("pulseaudio has no virtual microphone")

    def _control(self, *words: str) -> int:
        return subprocess.run(
            ["pactl", *words], env=self.environment, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).returncode  # fmt: skip

    @property
    def process(self) -> int:
        """Process number of the daemon."""
        if self._daemon is None:
            raise VirtualSoundError("the virtual sound card is not there")
        return self._daemon.pid

    def unplug(self) -> None:
        """Take the card away under whoever uses it."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()

    def record(self, sink: str) -> MonitorRecording:
        """Begin to record what passes through ``MICROPHONE`` or ``SPEAKER``."""
        return MonitorRecording(sink, self.environment)

    def speak(self, sound: NDArray[np.float32]) -> None:
        """Play ``(n,)`` at 16 kHz into the microphone; returns when it has been played."""
        subprocess.run(
            [
                "pacat", "--playback", f"--device={MICROPHONE}", "--raw", "--format=float32le",
                f"--rate={SAMPLE_RATE}", "--channels=1", f"--latency-msec={4 * LATENCY_MS}",
            ],
            input=np.asarray(sound, "<f4").tobytes(), env=self.environment, check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.terminate()
            try:
                self._daemon.wait(5.0)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        self._log.close()
        with suppress(OSError):
            shutil.rmtree(self._folder)
