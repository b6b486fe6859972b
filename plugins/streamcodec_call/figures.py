"""What a client counts during a call."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .mixer import Voice


@dataclass
class CallFigures:
    """What is counted during a call; voices add theirs when they leave."""

    captured_seconds: float = 0.0
    encode_seconds_max: float = 0.0
    packets_encoded: int = 0
    iterations: int = 0
    searches_cut: int = 0
    deadline_misses: int = 0
    packets_sent: int = 0
    descriptors_sent: int = 0
    repeated: int = 0
    bytes_sent: int = 0
    unsent: int = 0
    bytes_received: int = 0
    packets_received: int = 0
    packets_played: int = 0
    missed: int = 0
    concealed: int = 0
    late: int = 0
    duplicates: int = 0
    inserted: int = 0
    skipped: int = 0
    damaged: int = 0
    lengthened_seconds: float = 0.0
    shortened_seconds: float = 0.0
    bridged_seconds: float = 0.0
    underruns: int = 0
    player_stalls: int = 0
    malformed: int = 0
    reconnects: int = 0
    buffer_seconds: float = 0.0
    round_trip: float | None = None

    @property
    def iterations_per_packet(self) -> float:
        """Mean iterations of the encoder's search."""
        return self.iterations / max(self.packets_encoded, 1)

    def encoded(self, seconds: float, packet_seconds: float, iterations: int, cut: bool) -> None:
        """Count a packet of ``packet_seconds`` that took ``seconds`` to encode.

        ``cut`` says that its search was cut short by the deadline, which is as it should be on a
        busy machine. Missed is a deadline where encoding took longer than the packet lasts.
        """
        self.encode_seconds_max = max(self.encode_seconds_max, seconds)
        self.packets_encoded += 1
        self.iterations += iterations
        self.searches_cut += cut
        self.deadline_misses += seconds > packet_seconds

    def add(self, voice: Voice) -> None:
        """Add the counts of a voice that leaves."""
        counts = voice.jitter.counts
        self.packets_received += counts.received
        self.packets_played += counts.played
        self.missed += counts.missed
        self.concealed += counts.concealed
        self.late += counts.late
        self.duplicates += counts.duplicates
        self.inserted += counts.inserted
        self.skipped += counts.skipped
        self.damaged += voice.damaged
        self.lengthened_seconds += voice.lengthened
        self.shortened_seconds += voice.shortened
        self.bridged_seconds += voice.bridged
        self.underruns += voice.underruns
        self.buffer_seconds = max(self.buffer_seconds, voice.delay)

    def report(self, shortest: float) -> dict[str, Any]:
        """All figures and the rate sent, over at least ``shortest`` seconds."""
        rate = 8e-3 * self.bytes_sent / max(self.captured_seconds, shortest)
        return {**asdict(self), "sent_kbit_s": rate}
