"""Files that are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

PART_PATTERN = ".streamcodec-*.part"
"""Names of files that are being written."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a name to write to; the file takes the place of `target` when the block ends well.

    The new file lies in the target's folder until then. It is flushed to the disk before it is
    moved, so that not even a power cut leaves half a file under the target's name; if the block
    ends with an exception (Ctrl-C is one) it is removed and the target stays as it was.

    Raises
    ------
    OSError
        The folder does not exist, the target is no regular file or may not be written, or the
        disk is full.
    """
    target = require_writable(target)
    part = target.parent / PART_PATTERN.replace("*", secrets.token_hex(6))
    # Created here and exclusively: the usual permissions apply, and nobody else's file is hit.
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield part
        if target.exists():
            os.chmod(part, target.stat().st_mode & 0o7777)
        _flush(part, os.O_RDWR)
        os.replace(part, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    with suppress(OSError):  # some file systems cannot flush a folder; the file itself is safe
        _flush(target.parent, os.O_RDONLY)


def require_writable(target: Path) -> Path:
    """Check that a regular file can be put at a path; gives it with links resolved.

    Raises
    ------
    OSError
        It cannot; the message says why.
    """
    target = Path(os.path.realpath(target))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder to write to", str(target.parent))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "cannot write a file over a folder", str(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "can only write to a regular file", str(target))
    for path in (target.parent, target):
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "not allowed to write to", str(path))
    return target


def checked_pair(src: str | Path, dst: str | Path) -> tuple[Path, Path]:
    """Refuse a target that cannot be written before any work is done.

    Raises
    ------
    OSError
        It cannot; the message says why.
    InputError
        Source and target are the same file.
    """
    source, target = Path(src), Path(dst)
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"source and target are the same file, {source}; give OUT another name")
    require_writable(target)
    return source, target


def _flush(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
