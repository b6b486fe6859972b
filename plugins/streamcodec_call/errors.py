"""Every exception of the call plugin.

::

    streamcodec.errors.StreamcodecError
    └── CallError            a call that cannot be made or held
        ├── ProtocolError    a frame that is not one of ours: too long, malformed, out of range
        └── RefusedError     the relay said no: token, version, room or member limit
"""

from __future__ import annotations

import streamcodec


class CallError(streamcodec.errors.StreamcodecError):
    """A call that cannot be made or held."""


class ProtocolError(CallError):
    """A frame that is not one of the protocol's.

    Messages never repeat the peer's bytes, so they may be logged and sent back.
    """


class RefusedError(CallError):
    """The relay refuses this client for good; trying again would not help.

    Parameters
    ----------
    code : str
        One of ``protocol.ERROR_CODES``.
    message : str
        What the relay says about it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the relay refused: {message} ({code})")
        self.code = code
