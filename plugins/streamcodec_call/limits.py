"""Numbers that both sides of the call protocol keep to, each in one place.

``docs/call-protocol.md`` is the specification.
"""

from __future__ import annotations

import re

PROTOCOL_VERSION = 1

MAX_TEXT = 4096
"""Characters of the longest control frame that a client may send; a security limit."""

MAX_SERVER_TEXT = 1 << 18
"""Bytes of the longest control frame from a relay: a welcome lists every member."""

MAX_PACKET = 1024
"""Bytes of the longest codec packet: two latent steps take at most 786."""

STEP_SECONDS = 0.04
"""Duration of a latent step; a packet has two, with low delay one."""

MAX_NAME = 32
MAX_TOKEN = 256
MAX_RESUME = 64
MAX_CAPABILITIES = 16
MAX_STATISTICS = 16
MAX_MESSAGE = 200
MAX_PING = (1 << 53) - 1
"""Largest number of a ping: what a browser's numbers hold exactly."""

ROOM_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
WORD_PATTERN = re.compile(r"[a-z0-9-]{1,32}")
MODEL_PATTERN = re.compile(r"[0-9a-f]{16}")

ERROR_CODES = (
    "version", "token", "malformed", "rooms-full", "room-full", "rate", "slow", "idle",
    "replaced", "closing",
)  # fmt: skip
"""What an error frame may say; ``FINAL_CODES`` are those that a retry does not mend."""

FINAL_CODES = ("version", "token", "malformed", "rooms-full", "room-full", "replaced")

MAX_SENDER = 0xFFFF
SEQUENCE_BITS = 32
MAX_LEVEL = 127
"""Quietest level of a silence frame, in dB under full scale (as RFC 3389 has it)."""

PING_SECONDS = 5.0
"""Between two pings of a client."""

LOSS_SECONDS = 1.0
"""Within which a client tells that frames are missing."""

DEAD_SECONDS = 20.0
"""Without any frame from the relay, which answers pings, before a client connects anew."""

IDLE_SECONDS = 45.0
"""Without a frame from a client before the relay drops it: several pings."""

HELLO_SECONDS = 10.0
"""Within which a connection must say hello."""

RESUME_SECONDS = 20.0
"""For which the relay keeps the seat of a broken connection: some attempts with back-off."""

AUDIO_RATE = 60.0
"""Sound frames a second that a client may send: low-delay packets are 25 a second, and each is
sent twice while many are lost."""

AUDIO_BURST = 80.0
"""Sound frames at once: what piles up in a network stall of two or three seconds."""

CONTROL_RATE = 4.0
CONTROL_BURST = 20.0
"""Control frames that a client may send, a second and at once."""
