"""Read and create files in folders that other users can write to, without hanging on a pipe and with a size limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from engine.contract.names import JOBS

LARGEST = 1 << 20
"""Maximum size in bytes of job.json and the other small files of a job; a larger file is not accepted."""

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""Modes of a job's folder and its job.json, regardless of the umask: all users may read, only the owner may write."""


def make_folder(path: Path) -> None:
    """Create a job's folder. Raises OSError."""
    path.mkdir(FOLDER_MODE)
    path.chmod(FOLDER_MODE)


def make_jobs_folder(runs: Path) -> None:
    """Create the jobs' folder of a runs folder if it does not exist. Raises OSError.

    It gets the mode of the runs folder, regardless of the umask, so that a group can share it. If others can write to
    it, it also gets the sticky bit, so that users cannot remove or replace each other's jobs.
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
    """Why this file in a job's folder cannot be trusted; None if it can. Raises OSError.

    File and folder must belong to this user, and no other user may write to them.
    """
    for path in (folder, folder / name):
        status = path.lstat()
        if status.st_uid != os.getuid():
            return f"{path.name} belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path.name} can be changed by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def open_regular(path: Path | str) -> int:
    """A file descriptor for reading. Raises OSError, also if the path is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def read_small(path: Path | str, largest: int = LARGEST) -> bytes:
    """The first `largest` + 1 bytes of the file; more than `largest` bytes mean a too large file. Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(largest + 1)
