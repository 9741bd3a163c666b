"""The user's disk quota, from the command `quota`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """Quota on one file system. A limit is the soft limit, else the hard limit, else None."""

    used: int
    limit: int | None
    """Used and allowed bytes."""
    files: int = 0
    most_files: int | None = None

    @property
    def left(self) -> int | None:
        """Bytes left; negative above the limit."""
        return None if self.limit is None else self.limit - self.used


def has_command() -> bool:
    return shutil.which("quota") is not None


def ask_quota(patience: float) -> str | None:
    """The output of `quota` for this user; None if it is not installed or needs longer than `patience` seconds to query
    the file server."""
    try:  # its exit status tells only whether a quota is exceeded
        result = subprocess.run(
            ["quota", "-w", "-p", "-v"], stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("utf-8", "replace")


def parse_quota(output: str, source: str) -> Quota | None:
    """Parse the quota of the file system `source` from `quota -w -p -v`; None if it is not listed. A line has blocks of
    1 KiB (used, soft limit, hard limit, end of the grace period), then the same of files."""
    for line in output.splitlines():
        words = line.split()
        if len(words) < 8 or words[0] != source:
            continue
        try:
            used, soft, hard = (int(word.rstrip("*")) for word in words[1:4])
            files, soft_files, hard_files = (int(word.rstrip("*")) for word in words[5:8])
        except ValueError:
            return None
        return Quota(used << 10, ((soft or hard) << 10) or None, files, soft_files or hard_files or None)
    return None
