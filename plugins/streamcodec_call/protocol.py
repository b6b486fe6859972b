"""What travels between client and relay: text frames for control, binary frames for sound.

``docs/call-protocol.md`` is the specification. Nothing here knows a socket: text or bytes in,
a message or :class:`ProtocolError` out. Types that are not known give None, so that later
versions can add some; everything else that is not as specified is refused.

The parts are gathered here from ``limits`` (numbers), ``frames`` (sound) and ``messages``
(control).
"""

from __future__ import annotations

from .errors import ProtocolError
from .frames import (
    AUDIO,
    AUDIO_HEADER,
    MAX_BINARY,
    SILENCE,
    AudioFrame,
    build_audio,
    check_binary,
    parse_binary,
    stamp_sender,
)
from .limits import (
    ERROR_CODES,
    FINAL_CODES,
    MAX_CAPABILITIES,
    MAX_LEVEL,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_PACKET,
    MAX_RESUME,
    MAX_SENDER,
    MAX_SERVER_TEXT,
    MAX_STATISTICS,
    MAX_TEXT,
    MAX_TOKEN,
    MODEL_PATTERN,
    PROTOCOL_VERSION,
    ROOM_PATTERN,
    SEQUENCE_BITS,
    WORD_PATTERN,
)
from .messages import (
    Error,
    Hello,
    Join,
    Leave,
    Member,
    Message,
    Ping,
    Pong,
    Statistics,
    Welcome,
    build_text,
    parse_text,
)

__all__ = [
    "AUDIO",
    "AUDIO_HEADER",
    "ERROR_CODES",
    "FINAL_CODES",
    "MAX_BINARY",
    "MAX_CAPABILITIES",
    "MAX_LEVEL",
    "MAX_MESSAGE",
    "MAX_NAME",
    "MAX_PACKET",
    "MAX_RESUME",
    "MAX_SENDER",
    "MAX_SERVER_TEXT",
    "MAX_STATISTICS",
    "MAX_TEXT",
    "MAX_TOKEN",
    "MODEL_PATTERN",
    "PROTOCOL_VERSION",
    "ROOM_PATTERN",
    "SEQUENCE_BITS",
    "SILENCE",
    "WORD_PATTERN",
    "AudioFrame",
    "Error",
    "Hello",
    "Join",
    "Leave",
    "Member",
    "Message",
    "Ping",
    "Pong",
    "ProtocolError",
    "Statistics",
    "Welcome",
    "build_audio",
    "build_text",
    "check_binary",
    "parse_binary",
    "parse_text",
    "stamp_sender",
]
