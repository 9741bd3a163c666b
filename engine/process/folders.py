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


Layout = Mapping[str, tuple[npt.DTypeLike, tuple[int, ...]]]
"""dtype and shape of each array by its name."""

_LOOKS_S = 0.1


def cached(folder: Path | None, layout: Layout, fill: Callable[..., None]) -> list[npt.NDArray[Any]]:
    """The arrays of a layout, read-only from the folder where it holds them. Else they are made there: `fill` gets
    them in the layout's order, full of zeros. A damaged folder is made anew.

    Without a folder, or where it cannot be written (no permission, full disk), they are made in memory.
    """
    if folder is not None:
        found = _opened(folder, layout) or _made(folder, layout, fill)
        if found is not None:
            return found
    arrays = [np.zeros(shape, dtype) for dtype, shape in layout.values()]
    fill(*arrays)
    return arrays


def _opened(folder: Path, layout: Layout) -> list[npt.NDArray[Any]] | None:
    """The arrays; None where there are none, or damaged ones, which are taken away."""
    try:
        arrays = [open_array(folder / f"{name}.npy") for name in layout]
        if [(array.dtype, array.shape) for array in arrays] != [
            (np.dtype(dtype), shape) for dtype, shape in layout.values()
        ]:
            raise ValueError("another layout")
        with contextlib.suppress(OSError):  # somebody else's, who let us read it
            os.utime(folder)  # used last now
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return arrays


def _made(folder: Path, layout: Layout, fill: Callable[..., None]) -> list[npt.NDArray[Any]] | None:
    """Make the arrays in the folder, or wait until another process has; None where it cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder.parent):
            if found := _opened(folder, layout):
                return found
            with made_whole(folder) as making:
                paths = [making / f"{name}.npy" for name in layout]
                fill(*(new_array(path, *kind) for path, kind in zip(paths, layout.values(), strict=True)))
                for path in paths:
                    _write_through(path)
    except OSError:
        return None
    return _opened(folder, layout)


def _write_through(path: Path) -> None:
    """Before the rename: a machine that loses its power would come back with zeros under a valid name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Only one process at a time makes arrays in a folder: jobs that start together would all decode the same images.
    A file system without locks lets all of them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        said = False
        while _is_locked_by_another(descriptor):
            if not said:
                print(f"waiting for another process that fills {clean(str(folder))}", file=sys.stderr, flush=True)
                said = True
            time.sleep(_LOOKS_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked_by_another(descriptor: int) -> bool:
    try:
        return not locked(descriptor)
    except OSError:
        return False
