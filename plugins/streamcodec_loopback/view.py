"""What is seen while a loopback runs: a block of lines redrawn in place, or a line now and then."""

from __future__ import annotations

import shutil
from typing import TextIO

from .engine import QUIETEST_DB
from .session import LoopbackSession

METER_WIDTH = 40
METER_FLOOR_DB = -60.0
"""Level at the meters' left end; they end at full scale."""

REDRAW_SECONDS = 0.1
LINE_SECONDS = 5.0
"""Between two looks at a terminal, and between two lines of a log."""

KEYS = "b bypass   up/down bit rate   +/- complexity   l loss   q quit"

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_CLEAR_LINE = "\x1b[2K"


def meter(level: float) -> str:
    """Draw a level in dB under full scale as a bar."""
    share = (max(METER_FLOOR_DB, min(0.0, level)) - METER_FLOOR_DB) / -METER_FLOOR_DB
    filled = round(share * METER_WIDTH)
    shown = "  --  " if level <= QUIETEST_DB else f"{level:4.0f} dB"
    return f"[{'#' * filled}{'.' * (METER_WIDTH - filled)}] {shown}"


def milliseconds(seconds: float | None) -> str:
    """Write a delay."""
    return "-" if seconds is None else f"{1e3 * seconds:.0f} ms"


def screen(session: LoopbackSession, names: tuple[str, str]) -> list[str]:
    """The lines of the live view; ``names`` are the two devices'."""
    engine, codec = session.engine, session.codec
    figures, control = engine.figures, engine.control
    source, sink = session.source.counts, session.sink.counts
    minutes, seconds = divmod(int(session.seconds), 60)
    heard = "BYPASS: the microphone's own sound" if engine.bypass else "codec"
    return [
        f"{minutes}:{seconds:02}  model {codec.model_name}, "
        f"{1e3 * engine.packet_seconds:.0f} ms packets, heard: {heard}",
        f"in     {meter(figures.input_level)}  {names[0]}, {session.source.rate} Hz",
        f"out    {meter(figures.output_level)}  {names[1]}, {session.sink.rate} Hz",
        f"rate   {engine.kbit_s:.2f} kbit/s (asked {codec.bitrate / 1e3:g}), "
        f"loss {codec.loss.percent:g} % ({figures.lost} of {figures.packets} packets)",
        f"time   {engine.real_time_factor:.2f} of real time, complexity {codec.complexity}, "
        f"searches cut short {figures.curtailed}, deadline misses {figures.deadline_misses}",
        f"delay  {milliseconds(session.delay.now)} measured by time stamps; "
        f"queue {milliseconds(session.queued)} "
        f"(slack {milliseconds(figures.slack)}, target {milliseconds(control.target)}), "
        f"speed {1e6 * control.bend:+.0f} ppm",
        f"gaps   underruns {sink.events}, overruns {source.events}, bridged {figures.bridged}, "
        f"skipped {milliseconds(figures.skipped_seconds)}, "
        f"driver {source.driver_events + sink.driver_events}",
    ]


def line(session: LoopbackSession) -> str:
    """One line of a log."""
    engine, figures = session.engine, session.engine.figures
    return (
        f"{session.seconds:6.1f} s  in {figures.input_level:.0f} dB  "
        f"out {figures.output_level:.0f} dB  {engine.kbit_s:.2f} kbit/s  "
        f"{engine.real_time_factor:.2f} of real time  delay {milliseconds(session.delay.now)}  "
        f"queue {milliseconds(session.queued)}  misses {figures.deadline_misses}  "
        f"underruns {session.sink.counts.events}  overruns {session.source.counts.events}"
    )


class View:
    """Show a session on a stream.

    Parameters
    ----------
    stream : text stream
        A terminal is redrawn in place; anything else gets plain lines.
    session : LoopbackSession
    names : tuple of str
        Of the two devices.
    keys : bool
        Whether keys are listened to.
    """

    def __init__(
        self, stream: TextIO, session: LoopbackSession, names: tuple[str, str], keys: bool
    ) -> None:
        self._stream, self._session, self._names = stream, session, names
        self._terminal = stream.isatty()
        self._keys = keys
        self._drawn = 0
        self._due = 0.0

    def __enter__(self) -> View:
        if self._terminal:
            self._stream.write(_HIDE_CURSOR)
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._stream.write(_SHOW_CURSOR)
            self._stream.flush()

    def update(self) -> None:
        """Show the present state if that is due."""
        now = self._session.seconds
        if now < self._due:
            return
        self._due = now + (REDRAW_SECONDS if self._terminal else LINE_SECONDS)
        if not self._terminal:
            self._stream.write(line(self._session) + "\n")
        else:
            lines = [*screen(self._session, self._names), *([KEYS] if self._keys else [])]
            width = shutil.get_terminal_size().columns - 1
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            # A wrapped line would make the next redraw start too low.
            body = "".join(f"\r{_CLEAR_LINE}{text[:width]}\n" for text in lines)
            self._stream.write(up + body)
            self._drawn = len(lines)
        self._stream.flush()
