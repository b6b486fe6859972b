"""Every exception that streamcodec raises on purpose.

::

    StreamcodecError
    ├── InputError               arguments or samples that cannot be encoded (also a ValueError)
    ├── FormatError              bytes that are not a stream of ours      (also a ValueError)
    │   ├── TruncatedError       the stream ends before it should
    │   ├── CorruptPacketError   a packet fails its check
    │   └── UnsupportedVersionError  written by a newer version
    └── ModelError
        ├── ModelNotFoundError   no weights where they were looked for
        └── ModelMismatchError   the stream was made with other weights
"""


class StreamcodecError(Exception):
    """Base of all exceptions of this package."""


class InputError(StreamcodecError, ValueError):
    """An argument or a block of samples that cannot be encoded."""


class FormatError(StreamcodecError, ValueError):
    """Bytes that are not a stream, packet or file of this codec."""


class TruncatedError(FormatError):
    """A stream or file that ends before it should."""


class CorruptPacketError(FormatError):
    """A packet whose check does not match its content."""


class UnsupportedVersionError(FormatError):
    """A stream or file in a version that this release cannot read."""


class ModelError(StreamcodecError):
    """Something is wrong with the model."""


class ModelNotFoundError(ModelError):
    """No model where one was looked for."""


class ModelMismatchError(ModelError):
    """The stream was made with other weights than those loaded."""
