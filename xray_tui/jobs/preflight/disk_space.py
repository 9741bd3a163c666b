"""Room for what a job writes: on the disk of the runs folder, and in the user's quota there."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from xray_tui.jobs.preflight.quota import ask_quota, parse_quota
from xray_tui.system.mounts import read_mountinfo, source_of

PATIENCE = 3.0
"""Seconds for `quota`."""
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Room:
    """What may still be written. None: no limit is known."""

    free: int
    """Bytes on the disk, for this user."""
    files: int | None = None
    """How many more files there may be."""
    quota: int | None = None
    """Bytes left of the quota; negative where it is passed."""


def room(folder: Path) -> Room:
    """What may be written to the folder, or to the first one above that is there. Raises OSError."""
    place = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
    status = os.statvfs(place)
    told = _quota_of_minute(int(time.monotonic() / 60))
    quota = None if told is None else parse_quota(told, source_of(place, read_mountinfo()))
    files = status.f_favail if status.f_files else None
    return Room(status.f_bavail * status.f_frsize, files, None if quota is None else quota.left)


@lru_cache(maxsize=1)
def _quota_of_minute(minute: int) -> str | None:
    return ask_quota(PATIENCE)


def written(folder: Path) -> int | None:
    """Bytes in a run folder; None where it is gone, or has too many files to look at each time."""
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
