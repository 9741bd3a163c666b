"""flock locks on files in a folder that all users share; the kernel releases them when the holder dies.

Four rules make them reliable:
- A lock file is created under a temporary name, with its final mode regardless of the umask, and linked to its path.
  It is opened read-only, because a sticky folder forbids opening another user's file with O_CREAT.
- After locking, the inode is compared with that at the path, because a lock on a replaced file protects nothing.
- Lock files are never deleted. A lock ends when its last descriptor closes, never by LOCK_UN, which would also release
  the lock of an engine that inherited the descriptor.
- Locks are taken under the mutex of the folder. Readers take a brief shared lock; try_lock retries past it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.contract.files import named

READERS_PASS = 0.05
"""Seconds for which try_lock retries past readers: a read takes microseconds, plus a thread switch in a busy app."""


class Busy(TimeoutError):
    """The mutex was held for longer than the timeout."""


def place(path: Path, data: bytes, mode: int) -> bool:
    """Create the file atomically with exactly this mode; False if the path exists already."""
    with named(path):  # adds the path to errors: a failed write on a full disk names only a descriptor
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb", 0) as file:
                file.write(data)
                os.fchmod(descriptor, mode)
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)  # noqa: PTH108
    return True


def try_lock(path: Path) -> int | None:
    """The descriptor of an exclusive lock on the file, which is created if missing; None if the lock is held."""
    deadline = time.monotonic() + READERS_PASS
    while True:
        try:
            descriptor = _open(path)
        except FileNotFoundError:
            place(path, b"", 0o666)
            continue
        locked = _flock(descriptor, fcntl.LOCK_EX)
        if locked and _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)
        if not locked:
            if is_held(path) or time.monotonic() > deadline:
                return None
            time.sleep(0.001)  # only readers held it


def share(path: Path) -> int | None:
    """The descriptor of a shared lock; None if the lock is held exclusively. Call it under the folder's mutex."""
    place(path, b"", 0o666)
    descriptor = _open(path)
    if _flock(descriptor, fcntl.LOCK_SH) and _is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def make_shared(descriptor: int) -> None:
    """Turn this descriptor's exclusive lock into a shared one. Call it under the folder's mutex."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_held(path: Path) -> bool:
    """Whether the lock is held exclusively."""
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return False
    try:
        return not _flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def mutex(path: Path, patience: float = 10.0) -> Iterator[None]:
    """Hold the lock for the block. Raises Busy after `patience` seconds, because the holder may be suspended."""
    deadline = time.monotonic() + patience
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise Busy(f"{path}: held for {patience:.0f} s, now by {_holder(path)}")
        time.sleep(random.uniform(0.002, 0.02))
    try:
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """A descriptor to lock the file with. Raises OSError with the path in `strerror`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{path}: not a regular file")
    return descriptor


def _holder(path: Path) -> str:
    """`pid 4711`, the process that took the lock, or `another process` if /proc/locks does not list it.

    For messages only: /proc/locks omits processes outside a container, and lists the process that took a lock although
    a child may hold it now.
    """
    try:
        status = path.lstat()
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return "another process"
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    locks = (line.split() for line in lines)  # such as `1: FLOCK  ADVISORY  WRITE 4711 fe:00:2589278 0 EOF`
    return next((f"pid {lock[4]}" for lock in locks if lock[1] == "FLOCK" and lock[5] == file), "another process")


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), status)
