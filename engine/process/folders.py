"""Folders: locked against another process, written whole or not at all, and caches of large arrays."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
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

Layout = Mapping[str, tuple[npt.DTypeLike, tuple[int, ...]]]
"""Name -> (dtype, shape) of each array."""

_POLL_S = 0.1


@contextlib.contextmanager
def locked_folder(folder: Path, other: str) -> Iterator[None]:
    """Make a folder and lock it for the block. The kernel releases the lock however the process ends.

    Raises BadInput with the message `other` where another process holds the lock. A killed process's children may hold
    it a moment longer, so the lock is retried for a second. On a network file system without locks nothing is locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _PATIENCE_S
        with contextlib.suppress(OSError):
            while not try_lock(descriptor):
                if time.monotonic() > until:
                    raise BadInput(f"{clean(str(folder))}: {other}")
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Whether this process now holds the lock of an opened folder. Raises OSError on a file system without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill. At the end it replaces `folder`, or is removed if anything was raised.

    Folders left by killed processes are removed after a day. Raises OSError: no permission, full disk.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{_MAKING}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=folder.parent))
    try:
        yield making
        making.chmod(0o777 & ~current_umask())  # mkdtemp makes it private to this user
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def new_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A memory-mapped .npy file to fill. Its space is allocated at once: a full disk is an OSError here, and not a
    SIGBUS later."""
    with named(path):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    with named(path), path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return np.asarray(array)


def open_array(path: Path) -> npt.NDArray[Any]:
    """A .npy file, memory-mapped and read-only. Raises OSError or ValueError where it is missing or damaged."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def cached(folder: Path | None, layout: Layout, fill: Callable[..., None]) -> list[npt.NDArray[Any]]:
    """The arrays of a layout, read-only from the folder. A missing or damaged folder is filled first: `fill` gets the
    arrays in the layout's order, full of zeros.

    Without a folder, or where it cannot be written (no permission, full disk), the arrays stay in memory.
    """
    if folder is not None:
        arrays = _opened(folder, layout) or _made(folder, layout, fill)
        if arrays is not None:
            return arrays
    arrays = [np.zeros(shape, dtype) for dtype, shape in layout.values()]
    fill(*arrays)
    return arrays


def _opened(folder: Path, layout: Layout) -> list[npt.NDArray[Any]] | None:
    """The arrays in the folder, or None. Damaged ones are removed."""
    try:
        arrays = [open_array(folder / f"{name}.npy") for name in layout]
        if [(array.dtype, array.shape) for array in arrays] != [
            (np.dtype(dtype), shape) for dtype, shape in layout.values()
        ]:
            raise ValueError("another layout")
        with contextlib.suppress(OSError):  # another user's folder
            os.utime(folder)  # marks it as recently used
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return arrays


def _made(folder: Path, layout: Layout, fill: Callable[..., None]) -> list[npt.NDArray[Any]] | None:
    """Make the arrays in the folder, or wait for another process that does; None where the folder cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder.parent):
            if arrays := _opened(folder, layout):
                return arrays
            with made_whole(folder) as making:
                paths = [making / f"{name}.npy" for name in layout]
                fill(*(new_array(path, *kind) for path, kind in zip(paths, layout.values(), strict=True)))
                for path in paths:
                    _write_through(path)
    except OSError:
        return None
    return _opened(folder, layout)


def _write_through(path: Path) -> None:
    """fsync before the rename: after a power failure the file would otherwise hold zeros under a valid name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one process at a time make arrays in a folder, so that jobs that start together do not decode the same
    images. On a file system without locks all of them do."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        is_announced = False
        while _is_locked_by_another(descriptor):
            if not is_announced:
                print(f"waiting for another process to fill {clean(str(folder))}", file=sys.stderr, flush=True)
                is_announced = True
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked_by_another(descriptor: int) -> bool:
    try:
        return not try_lock(descriptor)
    except OSError:
        return False
