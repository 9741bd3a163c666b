"""Problems in the lease folder: a mutex that is held for too long or cannot be opened, and too many tickets."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.contract.text import clean
from xray_tui.doctor.context import Context
from xray_tui.doctor.report import Finding, bad, warn
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir, existing_lease_dir
from xray_tui.system import process

NAME = "queue"
LONG = 2.0
"""Seconds after which a held mutex is reported; jobs hold it for some milliseconds."""
MANY = 1000
"""Number of tickets above which their owner is reported; every waiting job reads their names each second."""


def lease_files(context: Context) -> list[Finding]:
    """Problems only. Locks the mutex for a moment."""
    lease_dir = existing_lease_dir(context.settings.lease_dir)
    return [] if lease_dir is None else [*held_mutex(lease_dir), *crowd(lease_dir)]


def held_mutex(lease_dir: LeaseDir, patience: float = LONG) -> Iterator[Finding]:
    """A mutex that cannot be opened, or is still locked after `patience` seconds, because the process that holds it is
    stopped (Ctrl+Z) or hangs on a disk."""
    if not os.path.lexists(lease_dir.lock):
        return
    try:
        with lease_dir.mutex(patience):
            pass
    except file_lock.Busy as error:
        yield bad(NAME, f"{clean(str(error))}: no job of any user can start",
                  "continue that process (`kill -CONT`), or end it, which releases the lock")  # fmt: skip
    except OSError as error:
        yield bad(NAME, clean(error.strerror or str(error)), "its owner, or root, can remove it")


def crowd(lease_dir: LeaseDir) -> Iterator[Finding]:
    """Too many tickets, with the user who owns most of them."""
    names = os.listdir(lease_dir.queue)  # noqa: PTH208
    if len(names) <= MANY:
        return
    owners: Counter[int] = Counter()
    for name in names:
        with contextlib.suppress(OSError):
            owners[Path(lease_dir.queue, name).lstat().st_uid] += 1
    user, count = process.user_name(owners.most_common(1)[0][0]), owners.most_common(1)[0][1]
    yield warn(NAME, f"{len(names):,} tickets in {clean(str(lease_dir.queue))}, {count:,} of them of {user}",
               f"{user} can remove the tickets of jobs that are gone")  # fmt: skip
