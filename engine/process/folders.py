"""Lock a folder against other processes, and write a folder so that it is never half-filled."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.files import current_umask
from engine.contract.text import clean

_MAKING = ".making-"
_STALE_S = 24 * 3600.0
_PATIENCE_S = 1.0
_POLL_S = 0.02


@contextlib.contextmanager
def locked_folder(folder: Path, other: str | None = None) -> Iterator[None]:
    """Create a folder and hold its lock during the block. The kernel releases the lock even if the process is killed.

    If another process still holds the lock after a second, raises BadInput with the message `other`, or waits on if
    `other` is None. The second covers children of a killed process, which may hold the lock a moment longer. On a
    network file system without locks, the folder is not locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _PATIENCE_S
        with contextlib.suppress(OSError):
            while not _try_lock(descriptor):
                if time.monotonic() > until and other is not None:
                    raise BadInput(f"{clean(str(folder))}: {other}")
                if time.monotonic() > until:
                    until = float("inf")
                    print(f"waiting for another process to fill {clean(str(folder))}", file=sys.stderr, flush=True)
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill. It replaces `folder` when the block ends, or is removed if the block raises.

    Temporary folders of killed processes are removed by a call after a day. Raises OSError (no permission, full disk).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{_MAKING}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=folder.parent))
    try:
        yield making
        making.chmod(0o777 & ~current_umask())  # mkdtemp makes the folder private to this user
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
