"""Name, user, command and start time of a process by its pid."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.text import clean

_COMMAND_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """Facts from /proc; all None if the process is not visible."""

    name: str | None = None
    user: str | None = None
    command: str | None = None
    started: float | None = None


UNSEEN = ProcessInfo()


class ProcessInfoCache:
    """Process facts cached by pid and start time, because a pid can be reused by another process."""

    def __init__(self) -> None:
        self._cached: dict[int, tuple[float, ProcessInfo]] = {}

    def of(self, pid: int) -> ProcessInfo:
        """The facts; UNSEEN for an ended process, a hidden one, and one of another container.

        Thread-safe. Can block like a driver call: reading a command line waits for the process's memory lock, which a
        process that hangs in the driver may hold.
        """
        start = _start_time(pid)
        if start is None:
            return UNSEEN
        cached_start, info = self._cached.get(pid, (None, UNSEEN))
        if cached_start != start:
            info = _look_up(pid)
            self._cached[pid] = start, info
        return info

    def keep_only(self, pids: set[int]) -> None:
        """Drop all other pids from the cache."""
        self._cached = {pid: entry for pid, entry in self._cached.items() if pid in pids}


def _start_time(pid: int) -> float | None:
    """Start time of the process, on Linux in clock ticks since boot; None if it is not visible."""
    if sys.platform != "linux":
        return _look_up(pid).started
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # takes a quarter of psutil's time; runs for every GPU process
    except OSError:
        return None
    return float(stat[stat.rindex(b")") + 2 :].split()[19])  # the name before ")" may contain spaces and brackets


def _look_up(pid: int) -> ProcessInfo:
    import psutil  # imported late: a machine with idle GPUs does not need it

    try:
        facts = psutil.Process(pid).as_dict(["name", "username", "cmdline", "create_time"], ad_value=None)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return UNSEEN
    return _process_info(facts)


def _process_info(facts: Mapping[str, Any]) -> ProcessInfo:
    name, user, command = facts["name"], facts["username"], " ".join(facts["cmdline"] or ())
    return ProcessInfo(
        name=clean(name) if name else None,
        user=clean(user) if user else None,
        command=clean(command[:_COMMAND_LENGTH]) or None,
        started=facts["create_time"],
    )
