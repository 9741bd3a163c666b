"""Supervisors that somebody has stopped (SIGSTOP): who stands behind one in the queue need not wait for ever.

Whose they are is told by /proc alone: by who has the `.sup` lock of the job open. The kernel's list of locks would name
who took it, and that was the launcher, which is gone. What other users' processes have open is not shown: their jobs
are waited for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator

from xray_tui.jobs import process
from xray_tui.jobs.job import Process
from xray_tui.jobs.lease_dir import LeaseDir
from xray_tui.jobs.queue import Ticket

PATIENCE = 60.0
"""Seconds after which one that is still stopped is passed over."""
EVERY = 30.0
"""Seconds between two looks through all processes."""
FEW = 8
"""Only jobs with no more before them look: the others have to wait anyhow."""


class Stopped:
    """What a waiting job knows of those before it."""

    def __init__(self, lease_dir: LeaseDir) -> None:
        self._dir = lease_dir
        self._since: dict[str, tuple[Process, float]] = {}
        self._due = 0.0

    def look(self, before: Iterable[Ticket]) -> None:
        """Look, unless that was done a moment ago, for stopped supervisors of these tickets."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY
        jobs = {os.path.realpath(self._dir.supervised(ticket.job)): ticket.job for ticket in before}
        for lock, holder in _stopped_holders(jobs):
            self._since.setdefault(jobs[lock], (holder, now))

    def passes_over(self, ticket: Ticket) -> bool:
        """Whether its supervisor has been stopped for long, and still is."""
        if ticket.job not in self._since:
            return False
        holder, since = self._since[ticket.job]
        if _is_stopped(holder.pid) and process.is_alive(holder):
            return time.monotonic() - since >= PATIENCE
        del self._since[ticket.job]
        return False


def _stopped_holders(locks: Collection[str]) -> Iterator[tuple[str, Process]]:
    """Of the files that only a stopped process has open: (the file, the process)."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names alone
    if not any(map(_is_stopped, pids)):
        return  # as nearly always; what all of them have open need not be asked
    found: dict[str, list[int]] = {}
    for pid in pids:
        for path in _opened(pid) & {*locks}:
            found.setdefault(path, []).append(pid)
    for path, holders in found.items():
        if len(holders) == 1 and _is_stopped(holders[0]) and (holder := process.identify(holders[0])) is not None:
            yield path, holder


def _is_stopped(pid: int) -> bool:
    known = process.stat(pid)
    return known is not None and known.state == "T"


def _opened(pid: int) -> set[str]:
    """What the process has open, by the links of /proc, which are read and not followed: that could hang."""
    folder, found = f"/proc/{pid}/fd", set()
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return set()  # another user's, or it has ended
    for name in names:
        with contextlib.suppress(OSError):  # closed at this moment
            found.add(os.readlink(f"{folder}/{name}"))  # noqa: PTH115
    return found
