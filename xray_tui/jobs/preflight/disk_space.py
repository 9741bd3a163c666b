"""Free space for a job's files: on the disk of the runs folder, and in the user's quota there."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from xray_tui.system.mounts import read_mountinfo, source_of

QUOTA_TIMEOUT = 3.0  # seconds
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Quota on one file system. A limit is the soft limit, the hard limit if there is none, or None."""

    used: int
    limit: int | None
    """Used and allowed bytes."""
    files: int = 0
    most_files: int | None = None

    @property
    def left(self) -> int | None:
        """Bytes left; negative above the limit."""
        return None if self.limit is None else self.limit - self.used


def free_space(folder: Path) -> tuple[int, int | None, int | None]:
    """(free bytes on the disk, free inodes, bytes left of the user's quota) at the folder, or at its nearest existing
    parent; None means no known limit. Raises OSError."""
    place = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    status = os.statvfs(place)
    output = _quota_of_minute(int(time.monotonic() / 60))
    quota = None if output is None else parse_quota(output, source_of(place, read_mountinfo()))
    inodes = status.f_favail if status.f_files else None
    return status.f_bavail * status.f_frsize, inodes, None if quota is None else quota.left


@lru_cache(maxsize=1)
def _quota_of_minute(minute: int) -> str | None:
    """The output of `quota`, cached for a minute: the argument is the cache key."""
    return ask_quota(QUOTA_TIMEOUT)


def ask_quota(timeout: float) -> str | None:
    """The output of `quota` for this user; None if it is not installed or needs longer than `timeout` seconds to query
    the file server."""
    try:  # its exit status only reports whether a quota is exceeded
        result = subprocess.run(
            ["quota", "-w", "-p", "-v"], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("utf-8", "replace")


def parse_quota(output: str, source: str) -> Quota | None:
    """Parse the quota of the file system `source` from `quota -w -p -v`; None if it is not listed. A line has blocks of
    1 KiB (used, soft limit, hard limit, end of the grace period), then the same for files."""
    for line in output.splitlines():
        words = line.split()
        if len(words) < 8 or words[0] != source:
            continue
        try:
            used, soft, hard, files, soft_files, hard_files = (
                int(word.rstrip("*")) for word in words[1:4] + words[5:8]
            )
        except ValueError:
            return None
        return Quota(used << 10, ((soft or hard) << 10) or None, files, soft_files or hard_files or None)
    return None


def size_of_run(folder: Path) -> int | None:
    """Size of a run folder in bytes; None if it is gone or has too many files to count."""
    total = count = 0
    try:
        for parent, _, names in os.walk(folder):
            total += sum(os.lstat(f"{parent}/{name}").st_size for name in names)
            if (count := count + len(names)) > _MOST_FILES:
                return None
    except OSError:
        return None
    return total if count else None
