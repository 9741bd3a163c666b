"""The files in the lease folder: a mutex that is held for too long or cannot be opened, and too many tickets."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.contract.text import clean
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, warn
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir, existing_lease_dir
from xray_tui.system import process

NAME = "queue"
LONG = 2.0
"""Seconds; the mutex is held for some milliseconds at a time."""
MANY = 1000
"""Tickets; every waiting job reads their names each second."""


def lease_files(patient: Patient) -> list[Finding]:
    """Nothing where all is well. Takes the folder's mutex for a moment."""
    found = existing_lease_dir(patient.settings.lease_dir)
    return [] if found is None else [*held_mutex(found), *crowd(found)]


def held_mutex(found: LeaseDir, patience: float = LONG) -> Iterator[Finding]:
    """A mutex that cannot be locked: its holder was stopped (Ctrl+Z) or hangs on a disk, or it cannot be opened."""
    if not os.path.lexists(found.lock):
        return
    try:
        with found.mutex(patience):
            pass
    except file_lock.Busy as error:
        yield bad(NAME, f"{clean(str(error))}: meanwhile no job of anybody begins",
                  "let that process go on (`kill -CONT`), or end it: the lock goes with it")  # fmt: skip
    except OSError as error:
        yield bad(NAME, clean(error.strerror or str(error)), "its owner, or root, can remove it")


def crowd(found: LeaseDir) -> Iterator[Finding]:
    """Too many tickets: each costs every waiting job a little, each second."""
    names = os.listdir(found.queue)  # noqa: PTH208
    if len(names) <= MANY:
        return
    owners: Counter[int] = Counter()
    for name in names:
        with contextlib.suppress(OSError):
            owners[Path(found.queue, name).lstat().st_uid] += 1
    user, count = process.user_name(owners.most_common(1)[0][0]), owners.most_common(1)[0][1]
    yield warn(NAME, f"{len(names):,} tickets in {clean(str(found.queue))}, {count:,} of them of {user}",
               f"{user} can remove those of jobs that are gone")  # fmt: skip
