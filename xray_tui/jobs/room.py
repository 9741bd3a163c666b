"""Room for what a job writes: on the disk of the runs folder, and in the user's quota there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PATIENCE = 3.0
"""Seconds for `quota`, which asks the file server."""
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
    quota = None if told is None else quota_left(told, source_of(place))
    return Room(status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None, quota)


@lru_cache(maxsize=1)
def _quota_of_minute(minute: int) -> str | None:
    return ask_quota()


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


def ask_quota() -> str | None:
    """What `quota` says of this user; None where there is no such command, or no answer in time."""
    command = shutil.which("quota")
    if command is None:
        return None
    try:  # its exit status says whether a quota is reached
        done = subprocess.run(
            [command, "-w", "-p", "-v"], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace")


def quota_left(told: str, source: str) -> int | None:
    """Bytes that the quota of the file system of that source leaves, by what `quota -w -p -v` printed: blocks of 1 KiB
    (used, soft and hard limit). None where there is no limit."""
    for line in told.splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != source:
            continue
        try:
            used, soft, hard = (int(word.rstrip("*")) for word in words[1:4])
        except ValueError:
            return None
        limits = [limit for limit in (soft, hard) if limit]
        return (min(limits) - used) << 10 if limits else None
    return None


def source_of(path: Path) -> str:
    """What is mounted where the path lies, such as "/dev/sda1" or "server:/home"; empty where that is not known."""
    try:
        device = path.stat().st_dev
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2:3] == [wanted] and len(kind.split()) > 1:
            return kind.split()[1]
    return ""
