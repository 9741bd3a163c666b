"""Locks that the kernel drops whatever dies: files in a folder that all users share, held with flock.

Four habits make them trustworthy, each of them learned the hard way:
- A lock file is made as a private temporary with its final mode and linked into place, so that no user's umask shuts
  others out, and opened read-only: a sticky folder forbids opening another user's file for creation.
- After locking, the inode is compared with the path's: a lock on a file that somebody replaced locks nothing.
- Nothing is ever unlinked, and nothing unlocked by LOCK_UN, which would free the lock of an engine that inherited the
  descriptor as well; a lock ends when the last descriptor closes.
- Locks are taken under the mutex of the folder. A look from outside it is a shared lock for a moment, which who tries
  to take the lock tells from a holder's and lets pass: any number of apps may look as often as they like.
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

LOOKS_PASS = 0.05
"""Seconds in which a look must be over: some microseconds, and a thread's wait for its turn in a busy app."""


class Busy(TimeoutError):
    """A mutex was not to be had in time."""


def place(path: Path, data: bytes, mode: int) -> bool:
    """Put a file there, whole and with exactly this mode; False where something of its name is there already."""
    with named(path):  # a full disk would name nothing, as a write knows only its descriptor
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        try:
            try:
                os.write(descriptor, data)
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)  # noqa: PTH108
    return True


def try_lock(path: Path) -> int | None:
    """The descriptor of an exclusive lock on the file, which is made where it is missing; None while another has it."""
    deadline = time.monotonic() + LOOKS_PASS
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
            time.sleep(0.001)  # only looks were in the way


def share(path: Path) -> int | None:
    """The descriptor of a lock that others may share; None while another has it alone. Under the folder's mutex."""
    place(path, b"", 0o666)
    descriptor = _open(path)
    if _flock(descriptor, fcntl.LOCK_SH) and _is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def make_shared(descriptor: int) -> None:
    """From now on others may share the lock that this descriptor had alone. Under the folder's mutex."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock."""
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
    """Hold the lock for the block. Raises Busy after `patience` seconds: the holder may have been stopped."""
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
    """`pid 4711`, the process that took the lock, or `another process` where /proc/locks does not list it.

    For messages only: /proc/locks leaves out processes outside of a container, and names the process that took a lock,
    though a child may hold it now.
    """
    try:
        there = path.lstat()
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return "another process"
    file = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
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
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
