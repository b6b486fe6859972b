"""Every exception of the loopback plugin.

::

    streamcodec.errors.StreamcodecError
    └── LoopbackError        a loopback that cannot be run
        └── DeviceError      a sound device is missing, busy, unsuitable or gone
"""

from __future__ import annotations

import streamcodec


class LoopbackError(streamcodec.errors.StreamcodecError):
    """A loopback that cannot be run."""


class DeviceError(LoopbackError):
    """A sound device is missing, busy, unsuitable or gone."""
