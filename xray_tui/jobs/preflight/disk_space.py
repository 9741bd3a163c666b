"""Free space for a job's files: on the disk of the runs folder, and in the user's quota."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from xray_tui.jobs.preflight.quota import ask_quota, parse_quota
from xray_tui.system.mounts import read_mountinfo, source_of

PATIENCE = 3.0
"""Timeout of the command `quota` in seconds."""
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Room:
    """Free space. None: no known limit."""

    free: int
    """Free bytes on the disk for this user."""
    files: int | None = None
    """Number of free inodes."""
    quota: int | None = None
    """Bytes left of the quota; negative if it is exceeded."""


def room(folder: Path) -> Room:
    """The free space of the folder, or of its nearest existing parent. Raises OSError."""
    place = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    status = os.statvfs(place)
    output = _quota_of_minute(int(time.monotonic() / 60))
    quota = None if output is None else parse_quota(output, source_of(place, read_mountinfo()))
    files = status.f_favail if status.f_files else None
    return Room(status.f_bavail * status.f_frsize, files, None if quota is None else quota.left)


@lru_cache(maxsize=1)
def _quota_of_minute(minute: int) -> str | None:
    """The output of `quota`, cached for a minute: the argument is the cache key."""
    return ask_quota(PATIENCE)


def written(folder: Path) -> int | None:
    """Size of a run folder in bytes; None if it is gone or has too many files to count."""
    total = count = 0
    try:
        folders = [str(folder)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
                    if (count := count + 1) > _MOST_FILES:
                        return None
    except OSError:
        return None
    return total
