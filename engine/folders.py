"""Folders: held against another process, and folders of large arrays made whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.errors import BadInput
from engine.contract.files import current_umask, named
from engine.contract.text import clean

_MAKING = ".making-"
_STALE_S = 24 * 3600.0
_PATIENCE_S = 1.0


@contextlib.contextmanager
def held(folder: Path, other: str) -> Iterator[None]:
    """Make a folder and hold it; the kernel lets go of it whatever becomes of us.

    Raises BadInput where another process holds it, `other` saying what that one does. One that was killed just now
    holds it until its children are gone as well: that is waited for. A network file system without locks holds nothing,
    and nothing can be told of others there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _PATIENCE_S
        with contextlib.suppress(OSError):
            while not locked(descriptor):
                if time.monotonic() > until:
                    raise BadInput(f"{clean(str(folder))}: {other}")
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def locked(descriptor: int) -> bool:
    """Whether the lock of an opened folder is ours now. Raises OSError where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill; at the end it takes the place of `folder`, or is gone if anything was raised.

    What a killed process left half made is swept away after a day. Raises OSError: no permission, full disk.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f"{_MAKING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=folder.parent))
    try:
        yield making
        making.chmod(0o777 & ~current_umask())  # mkdtemp's own are for nobody else on the server
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def new_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A memory-mapped .npy file to fill. Its space is taken at once: a disk that fills up later would kill the process
    (SIGBUS); one that is too full now is an OSError."""
    with named(path):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    with named(path), path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return np.asarray(array)


def open_array(path: Path) -> npt.NDArray[Any]:
    """A .npy file, memory-mapped and read-only. Raises OSError or ValueError where it is missing or damaged."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
