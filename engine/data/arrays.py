"""Large arrays in .npy files, memory-mapped, and caches of them that several processes share."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.files import named
from engine.process.folders import locked_folder, made_whole

Layout = Mapping[str, tuple[npt.DTypeLike, tuple[int, ...]]]
"""Name -> (dtype, shape) of each array."""


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
    arrays in the layout's order, full of zeros. Of several processes one fills it and the others wait.

    Without a folder, or where it cannot be written (no permission, full disk), the arrays stay in memory.
    """
    if folder is not None:
        arrays = _opened(folder, layout)
        if arrays is None:
            with contextlib.suppress(OSError):
                _make(folder, layout, fill)
            arrays = _opened(folder, layout)
        if arrays is not None:
            return arrays
    arrays = [np.zeros(shape, dtype) for dtype, shape in layout.values()]
    fill(*arrays)
    return arrays


def _opened(folder: Path, layout: Layout) -> list[npt.NDArray[Any]] | None:
    """The arrays in the folder, or None. Damaged ones are removed."""
    try:
        arrays = [open_array(folder / f"{name}.npy") for name in layout]
        if any((a.dtype, a.shape) != (dtype, shape) for a, (dtype, shape) in zip(arrays, layout.values(), strict=True)):
            raise ValueError("another layout")
        with contextlib.suppress(OSError):  # another user's folder
            os.utime(folder)  # marks it as recently used
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return arrays


def _make(folder: Path, layout: Layout, fill: Callable[..., None]) -> None:
    with locked_folder(folder.parent):
        if _opened(folder, layout) is not None:
            return
        with made_whole(folder) as making:
            paths = [making / f"{name}.npy" for name in layout]
            fill(*(new_array(path, *kind) for path, kind in zip(paths, layout.values(), strict=True)))
            for path in paths:  # after a power failure the renamed folder would otherwise hold zeros
                with path.open("rb") as file:
                    os.fsync(file.fileno())
