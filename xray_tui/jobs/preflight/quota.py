"""The user's disk quota, by the command `quota`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """On one file system. Limits are None where there are none; of a soft and a hard one the soft counts."""

    used: int
    limit: int | None
    """Bytes."""
    files: int = 0
    most_files: int | None = None

    @property
    def left(self) -> int | None:
        """Bytes; negative where the limit is passed."""
        return None if self.limit is None else self.limit - self.used


def has_command() -> bool:
    return shutil.which("quota") is not None


def ask_quota(patience: float) -> str | None:
    """What `quota` says of this user; None where there is no such command, or no answer in so many seconds: it asks the
    file server."""
    try:  # its exit status says whether a quota is reached
        done = subprocess.run(
            ["quota", "-w", "-p", "-v"], stdin=subprocess.DEVNULL, capture_output=True, timeout=patience, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace")


def parse_quota(told: str, source: str) -> Quota | None:
    """The quota of the file system of that source, by what `quota -w -p -v` printed: blocks of 1 KiB (used, soft and
    hard limit, the end of the grace period), and the same of files. None where it says nothing of that one."""
    for line in told.splitlines():
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
