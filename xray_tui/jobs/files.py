"""Files that others may have laid in the way: opened so that nothing hangs on a pipe, and read to a bound."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST = 1 << 20
"""Bytes; a larger job.json, or any other of our small files, is none of ours."""


def open_regular(path: Path | str) -> int:
    """A descriptor to read the file with. Raises OSError, also for what is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def read_small(path: Path | str, largest: int = LARGEST) -> bytes:
    """The file's bytes: no more than `largest` and one, by which a larger one is told. Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(largest + 1)
