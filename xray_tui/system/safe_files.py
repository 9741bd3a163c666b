"""Files that others may have laid in the way: opened so that nothing hangs on a pipe, and read to a bound."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from engine.contract.names import JOBS

LARGEST = 1 << 20
"""Bytes; a larger job.json, or any other of our small files, is none of ours."""

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""A job's folder and its job.json, whatever the umask: everybody may see what runs, and only the owner say what."""


def make_folder(path: Path) -> None:
    """Make a job's folder. Raises OSError."""
    path.mkdir(FOLDER_MODE)
    path.chmod(FOLDER_MODE)


def make_jobs_folder(runs: Path) -> None:
    """Make the folder in which the jobs of a runs folder lie, unless it is there: open to whom the runs folder is open,
    whatever the umask, so that a group can share it. There nobody can remove or replace what is another's.

    Raises OSError.
    """
    path = runs / JOBS
    runs.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        return
    mode = stat.S_IMODE(runs.stat().st_mode)
    path.chmod(mode | stat.S_ISVTX if mode & (stat.S_IWGRP | stat.S_IWOTH) else mode)


def not_ours(folder: Path, name: str) -> str | None:
    """Why what stands in this file of a job's folder is not this user's word; None where it is. Raises OSError.

    The owner of both counts, not what stands in the file, and that nobody else can write to either.
    """
    for path in (folder, folder / name):
        status = path.lstat()
        if status.st_uid != os.getuid():
            return f"{path.name} belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path.name} can be changed by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


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
