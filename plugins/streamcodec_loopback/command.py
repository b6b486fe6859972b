"""``streamcodec loopback``: hear yourself through the codec."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from .keyboard import DOWN, UP, open_keyboard

if TYPE_CHECKING:
    from . import Commands
    from .devices import DeviceStream
    from .session import LoopbackSession
    from .settings import LoopbackSettings

DEFAULT_LATENCY_MS = 40.0
"""Asked of each device: four blocks of 10 ms, so that a busy machine may be late by three."""

TABLE_WIDTH = 22

NICENESS = -11
"""Asked of the system for every thread, as sound servers do for themselves; where it is not
granted (it takes root or a limit that allows it) the loopback runs as anything else."""


def add_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "loopback",
        help="hear yourself through the codec",
        description="Microphone to speaker through the codec, live. Use headphones: a speaker "
        "that the microphone hears will howl.",
    )
    _add_device_options(parser)
    _add_codec_options(parser)
    parser.add_argument("--seconds", type=float, help="stop after so long (default: never)")
    parser.add_argument(
        "--record", metavar="PREFIX", help="write both sides to PREFIX-in.wav and PREFIX-out.wav"
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON at the end")
    parser.set_defaults(run=run)


def _add_device_options(parser: ArgumentParser) -> None:
    parser.add_argument("--input", metavar="DEVICE", help="microphone, by number or part of a name")
    parser.add_argument("--output", metavar="DEVICE", help="speaker, likewise")
    parser.add_argument("--list-devices", action="store_true", help="list sound devices and end")
    parser.add_argument(
        "--rate", type=int, metavar="HZ",
        help="of both devices (default: 16000 where they do that, else their own)",
    )  # fmt: skip
    parser.add_argument(
        "--device-latency", type=float, default=DEFAULT_LATENCY_MS, metavar="MS",
        help="buffer asked of each device (default %(default)g)",
    )  # fmt: skip


def _add_codec_options(parser: ArgumentParser) -> None:
    parser.add_argument("--bitrate", type=int, default=2000, help="bit/s (default %(default)s)")
    parser.add_argument(
        "--complexity", type=int, default=6,
        help="0 to 10: most effort spent on a packet; less where time is short (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--low-delay", action="store_true", help="40 ms packets")
    parser.add_argument("--vocoder", choices=("griffin-lim", "neural"), default="griffin-lim")
    parser.add_argument("--model", help="name or folder of a model")
    parser.add_argument(
        "--bypass", action="store_true",
        help="begin with the microphone's own sound, as late as the codec's",
    )  # fmt: skip
    parser.add_argument(
        "--loss", type=float, default=0.0, metavar="PERCENT", help="packets to lose"
    )
    parser.add_argument(
        "--burst", type=float, metavar="PACKETS",
        help="lose them in bursts of this mean length (Gilbert model)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the loss (default %(default)s)")


def run(options: Namespace) -> int:
    """Run until the time is over, a key or a signal says so, or a device is gone."""
    from .devices import import_sounddevice, list_devices, quiet_drivers

    if not options.list_devices:
        settings = _settings(options)
    with quiet_drivers():
        sounddevice = import_sounddevice()
        if options.list_devices:
            _print_devices(list_devices(sounddevice), options.json)
            return 0
        report = _loop(options, settings, sounddevice)
    if options.json:
        print(json.dumps(report, allow_nan=False))
    else:
        for key, value in report.items():
            print(f"{key.replace('_', ' '):<{TABLE_WIDTH}} {'-' if value is None else value}")
    return 0


def _settings(options: Namespace) -> LoopbackSettings:
    from .settings import LoopbackSettings

    return LoopbackSettings(
        bitrate=options.bitrate,
        complexity=options.complexity,
        low_delay=options.low_delay,
        vocoder=options.vocoder,
        bypass=options.bypass,
        loss=options.loss,
        burst=options.burst,
        seed=options.seed,
        model=options.model,
        seconds=options.seconds,
        rate=options.rate,
        device_latency=1e-3 * options.device_latency,
    )


def _print_devices(devices: list[Any], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print(json.dumps([asdict(device) for device in devices]))
        return
    if not devices:
        print("this machine has no sound device")
    for device in devices:
        marks = f", default {' and '.join(device.default)}" if device.default else ""
        print(
            f"{device.number:>3}  {device.name} ({device.system}): {device.inputs} in, "
            f"{device.outputs} out, {device.sample_rate:.0f} Hz{marks}"
        )


def _loop(options: Namespace, settings: LoopbackSettings, sounddevice: Any) -> dict[str, Any]:
    import torch

    from .codec import CodecPath
    from .devices import DeviceStream
    from .engine import LoopbackEngine
    from .recorder import Recorder
    from .session import RING_SECONDS, LoopbackSession

    # The networks are small: several threads would only wait for each other.
    torch.set_num_threads(1)
    with suppress(OSError, AttributeError):  # threads made from now on inherit it
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)

    def opened(kind: str, wanted: str | None) -> DeviceStream:
        return DeviceStream(
            sounddevice, kind, wanted, settings.rate, settings.device_latency, RING_SECONDS
        )

    with ExitStack() as stack:
        source = stack.enter_context(closing(opened("input", options.input)))
        sink = stack.enter_context(closing(opened("output", options.output)))
        with (
            Recorder(options.record, source.rate, sink.rate)
            if options.record
            else nullcontext() as recorder
        ):
            codec = CodecPath(settings)
            engine = LoopbackEngine(codec, source.rate, sink.rate, bypass=settings.bypass)
            session = LoopbackSession(engine, codec, source.ring, sink.ring, recorder)
            session.warm_up()
            failure = _run(session, settings, source, sink)
        report = {
            "input": source.name,
            "output": sink.name,
            "input_rate": source.rate,
            "output_rate": sink.rate,
            "low_delay": settings.low_delay,
            "vocoder": settings.vocoder,
            **session.report(),
        }
    if failure is not None:
        raise failure
    return report


def _run(
    session: LoopbackSession,
    settings: LoopbackSettings,
    source: DeviceStream,
    sink: DeviceStream,
) -> Exception | None:
    """Run; gives what went wrong rather than raising it, so that a recording is kept."""
    from .errors import LoopbackError
    from .view import REDRAW_SECONDS, View

    with _few_pauses(), _stopping() as stopped, open_keyboard() as keyboard:
        # The speaker first, so that it waits for sound and not sound for it.
        sink.start()
        source.start()
        session.start()
        with View(sys.stderr, session, (source.name, sink.name), keyboard.listening) as view:
            try:
                while not stopped and not _over(session, settings):
                    for key in keyboard.wait(REDRAW_SECONDS):
                        if key == "q":
                            return None
                        _obey(key, session)
                    for part in (session, source, sink):
                        part.check()
                    view.update()
            except (LoopbackError, OSError) as error:
                return error
            finally:
                session.stop()
    return None


def _over(session: LoopbackSession, settings: LoopbackSettings) -> bool:
    return settings.seconds is not None and session.seconds >= settings.seconds


def _obey(key: str, session: LoopbackSession) -> None:
    if key == "b":
        session.toggle_bypass()
    elif key == "l":
        session.step_loss()
    elif key in (UP, DOWN):
        session.step_bitrate(1 if key == UP else -1)
    elif key in ("+", "=", "-"):  # "=" is "+" without the shift key
        session.step_complexity(-1 if key == "-" else 1)


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """Give a list that a signal to end is added to; Ctrl-C is one of two ways to end, no error."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _few_pauses() -> Iterator[None]:
    """Leave what has been made so far to itself: looking through all of torch takes 0.1 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
