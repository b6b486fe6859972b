"""Adaptive jitter buffer of one sender: what to play next, and how long to wait for it.

Every frame tells when its sound was captured (timestamp) and every arrival when it could be
played; the smallest difference of late is the network's floor, and what a frame takes beyond it
is its jitter. The target delay over the floor jumps up with the jitter and sinks slowly, so that
one spike costs delay only for a while (the idea of RFC 3550's and WebRTC's buffers). A frame is
*due* at floor + timestamp + target; where playing and due times part, the frame is to be played a
little longer or shorter; where they part by far, a concealed frame is put in or frames are left
out. After silence playing starts at the due time.

No clock is read here: times are seconds on any monotonic clock of the caller.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from .protocol import SEQUENCE_BITS, AudioFrame

SAMPLE_RATE = 16_000

MARGIN = 0.005
"""Seconds of target beyond the measured jitter: the granularity of who asks."""

MAX_TARGET = 1.0
"""Seconds of target at most; what is later than that is lost."""

HOLD_SECONDS = 5.0
"""The largest jitter of the last one to two spans of this length counts."""

SINK_SECONDS = 1.0
"""Time constant with which the target follows when that becomes smaller."""

FIRST_JITTER = 0.02
"""Seconds of jitter that a sender is expected to have until its own is known: the time that
encoding takes changes from packet to packet by about as much."""

EARLY_SECONDS = 0.008
LATE_SECONDS = 0.016
"""By which playing may be before and behind the due time; the player's own grain is 5 ms."""

MAX_STRETCH = 0.25
"""Share of a frame that is put into it or left out of it at most."""

INSERT_SHARE = 1.0
"""Shares of a frame by which playing is too early from which on a concealed one is put in."""

FLOOR_SECONDS = 10.0
"""The floor is the smallest transit of the last one to two spans of this length, which follows
clocks that drift."""

CAPACITY = 64
"""Frames held at most; the oldest go first."""

MAX_JUMP = 512
"""Sequence numbers that a frame may be from the last before the sender counts as restarted."""

MAX_TRANSIT_CHANGE = 10.0
"""Seconds that a transit may differ from the floor before the sender counts as restarted."""

MAX_CONCEALED = 5
"""Frames concealed in a row with nothing behind them before playing stops."""

FOLLOWING = 4
"""Frames over which a gap can be bridged to the one behind it."""

PATIENCE_SHARE = 0.75
"""Shares of a frame beyond its due time for which a frame is waited for while none behind it is
here; the player carries the voice on meanwhile."""

REPAIR_SECONDS = 60.0
"""For which the target holds what a repeated frame needed that came in place of a lost one: losses
are rare, and every change of the target is heard."""

LOSSY_SHARE = 0.01
"""Share of frames missed of late above which one that is not here counts as lost, not late."""

MISS_WEIGHT = 0.02
"""Of a frame in that share, which so covers about the last fifty."""

FAR_BEHIND = 4.0
"""Frames behind the due time, as after a stall, from which they are left out."""


class Play(Enum):
    """What to do in place of the next frame."""

    PACKET = "packet"
    CONCEAL = "conceal"
    SILENCE = "silence"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to play.

    Attributes
    ----------
    play : Play
    packet : bytes
        Set with :attr:`Play.PACKET`.
    following : bytes
        With :attr:`Play.CONCEAL`: the next packet, if it is already here.
    stretch : float
        Seconds by which the frame's sound should become longer; shorter if negative.
    """

    play: Play
    packet: bytes = b""
    following: bytes = b""
    stretch: float = 0.0


_WAIT = Decision(Play.WAIT)
_SILENCE = Decision(Play.SILENCE)


@dataclass
class JitterCounts:
    """What happened to the frames of a sender.

    ``passed`` counts what was sent up to the newest frame here; ``missed`` those of them that
    something later overtook, whether they came after all, were repeated, or never came.
    """

    received: int = 0
    passed: int = 0
    missed: int = 0
    played: int = 0
    duplicates: int = 0
    late: int = 0
    concealed: int = 0
    inserted: int = 0
    skipped: int = 0
    overflowed: int = 0
    restarts: int = 0


def unwrap(value: int, reference: int, bits: int = SEQUENCE_BITS) -> int:
    """The number equal to ``value`` modulo ``2**bits`` that is nearest to ``reference``."""
    span = 1 << bits
    return reference + (value - reference + span // 2) % span - span // 2


class JitterBuffer:
    """Reorder the frames of one sender and say what to play.

    Parameters
    ----------
    frame_seconds : float
        Sound in a packet.
    """

    def __init__(self, frame_seconds: float) -> None:
        self._frame = frame_seconds
        self.counts = JitterCounts()
        self._forget()

    def _forget(self) -> None:
        self._frames: dict[int, tuple[float, AudioFrame]] = {}
        self._seen: deque[int] = deque(maxlen=CAPACITY)
        self._reference: tuple[int, int] | None = None
        self._next: int | None = None
        self._next_captured = 0.0
        self._playing = False
        self._blind = 0
        self._floors = [float("inf"), float("inf")]
        self._floor_since = 0.0
        self._highs = [0.0, 0.0]
        self._high_since = 0.0
        self._peak = FIRST_JITTER
        self._repair = 0.0
        self._repaired = -float("inf")
        self._missing = 0.0

    @property
    def target(self) -> float:
        """Delay aimed at beyond the network's floor, seconds."""
        return min(max(self._peak, self._repair) + MARGIN, MAX_TARGET)

    @property
    def depth(self) -> int:
        """Frames held."""
        return len(self._frames)

    def push(self, frame: AudioFrame, now: float) -> None:
        """Take a frame that arrived at ``now``."""
        self.counts.received += 1
        if self._reference is None:
            self._reference = (frame.sequence, frame.timestamp)
        sequence = unwrap(frame.sequence, self._reference[0])
        timestamp = unwrap(frame.timestamp, self._reference[1])
        captured = timestamp / SAMPLE_RATE
        transit = now - captured
        if abs(sequence - self._reference[0]) > MAX_JUMP or (
            min(self._floors) < float("inf")
            and abs(transit - min(self._floors)) > MAX_TRANSIT_CHANGE
        ):
            self._forget()
            self.counts.restarts += 1
            self._reference = (frame.sequence, frame.timestamp)
            sequence, captured = frame.sequence, frame.timestamp / SAMPLE_RATE
            transit = now - captured
        if sequence in self._frames or sequence in self._seen:
            # Which tells nothing of how long to wait: the frame itself was in time.
            self.counts.duplicates += 1
            return
        ahead = sequence - self._reference[0]
        self._measure(transit, now, repair=ahead < 0)
        if ahead > 0:
            self.counts.passed += ahead
            self.counts.missed += ahead - 1
            share = (ahead - 1) / ahead
            self._missing += min(1.0, MISS_WEIGHT * ahead) * (share - self._missing)
            self._reference = (sequence, timestamp)
        if self._next is not None and sequence < self._next:
            if captured < self._next_captured - self._frame / 2:
                self.counts.late += 1
                return
            # Frames were invented, as where word of silence was lost, that nobody had numbered.
            self._next = sequence
        self._seen.append(sequence)
        self._frames[sequence] = (captured, frame)
        if len(self._frames) > CAPACITY:
            del self._frames[min(self._frames)]
            self.counts.overflowed += 1

    def _measure(self, transit: float, now: float, repair: bool) -> None:
        if now - self._floor_since > FLOOR_SECONDS:
            self._floors = [self._floors[1], float("inf")]
            self._floor_since = now
        self._floors[1] = min(self._floors[1], transit)
        jitter = transit - min(self._floors)
        if repair:
            self._repair = max(self._repair, jitter)
            self._repaired = now
            return
        if now - self._repaired > REPAIR_SECONDS:
            self._repair = 0.0
        if now - self._high_since > HOLD_SECONDS:
            self._highs = [self._highs[1], 0.0]
            self._high_since = now
        self._highs[1] = max(self._highs[1], jitter)
        wanted = max(self._highs)
        if wanted > self._peak:
            self._peak = wanted
        else:
            self._peak += (wanted - self._peak) * min(1.0, self._frame / SINK_SECONDS)

    def _due(self, captured: float) -> float:
        return min(self._floors) + captured + self.target

    def pull(self, now: float) -> Decision:
        """Say what comes next; asked whenever the player needs a frame.

        After :attr:`Play.WAIT` the player asks again a little later; every other answer stands
        for one frame.
        """
        if not self._playing:
            return self._start(now)
        self._leave_out(now)
        expected = self._next
        if expected is None or expected not in self._frames:
            return self._miss(now)
        early = self._due(self._frames[expected][0]) - now
        if early > INSERT_SHARE * self._frame:
            # The target has grown by far: fill up with one frame rather than be late with many.
            self.counts.inserted += 1
            return self._conceal(expected)
        return self._play(expected, self._stretch(early))

    def _stretch(self, early: float) -> float:
        """Seconds to make a frame longer by that is asked for so much before its time."""
        if -LATE_SECONDS <= early <= EARLY_SECONDS:
            return 0.0
        most = MAX_STRETCH * self._frame
        return max(-most, min(most, early))

    def _start(self, now: float) -> Decision:
        if not self._frames:
            return _WAIT
        first = min(self._frames)
        captured, _ = self._frames[first]
        if now < self._due(captured):
            return _WAIT
        self._playing = True
        return self._play(first)

    def _play(self, sequence: int, stretch: float = 0.0) -> Decision:
        captured, frame = self._frames.pop(sequence)
        self._next = sequence + 1
        self._next_captured = captured + self._frame
        self._blind = 0
        if frame.level is not None:
            self._playing = False
            return _SILENCE
        self.counts.played += 1
        return Decision(Play.PACKET, frame.packet, stretch=stretch)

    def _miss(self, now: float) -> Decision:
        # With nothing behind it here a frame is more likely late than lost, unless many are lost.
        lost = bool(self._frames) or self._missing > LOSSY_SHARE
        patience = 0.0 if lost else PATIENCE_SHARE * self._frame
        if now < self._due(self._next_captured) + patience:
            return _WAIT
        if not self._frames:
            self._blind += 1
            if self._blind > MAX_CONCEALED:
                self._playing = False
                return _SILENCE
        self.counts.concealed += 1
        self._next = (self._next or 0) + 1
        self._next_captured += self._frame
        return self._conceal(self._next)

    def _conceal(self, first: int) -> Decision:
        """Conceal, towards the next frame from ``first`` on that is here."""
        for sequence in range(first, first + FOLLOWING):
            if sequence in self._frames:
                return Decision(Play.CONCEAL, following=self._frames[sequence][1].packet)
        return Decision(Play.CONCEAL)

    def _leave_out(self, now: float) -> None:
        """Leave out what is far behind its due time, but for the newest frame."""
        while self._next in self._frames and self._next + 1 in self._frames:
            captured, _ = self._frames[self._next]
            if now - self._due(captured) <= FAR_BEHIND * self._frame:
                return
            del self._frames[self._next]
            self._next += 1
            self._next_captured = captured + self._frame
            self.counts.skipped += 1
