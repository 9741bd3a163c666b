"""Arrays that take long to make, kept as memory-mapped files that any process may read."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.text import clean
from engine.folders import locked, made_whole, new_array, open_array

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
