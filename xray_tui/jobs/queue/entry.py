"""The entry of a waiting job into the queue, once it is admitted and after the earlier jobs of its user."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.queue.admission import Blocked, check_admission, held_by, is_earlier, is_released
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.jobs.storage.job_store import JobStore, is_at_home

PATIENCE = 10.0
"""Maximum seconds that an admitted job lets earlier jobs of its user enter first, as their supervisors may hang."""


class Entry:
    """Checks whether a job may enter the queue. Jobs that are admitted at the same moment enter it in order."""

    def __init__(self, folder: Path, store: JobStore, queue: Queue, lock_dir: LockDir) -> None:
        self._folder, self._store, self._queue, self._dir = folder, store, queue, lock_dir
        self._admitted: float | None = None
        """When the job was admitted (monotonic)."""

    def check(self, job: Job) -> Blocked | None:
        """Why the job is kept out of the queue; None if it may enter. Raises OSError."""
        now = time.localtime()
        minute = now.tm_hour * 60 + now.tm_min
        others = self._others(None if job.terms.max_gpus is not None else job.spec.after)
        blocked = self._check_admission(job, self._folder, others, minute)
        if blocked is not None:
            self._admitted = None
            return blocked
        self._admitted = self._admitted or time.monotonic()
        may_wait = job.spec.after or job.terms.max_gpus is not None or job.terms.hours
        if not may_wait or self._queue.has(job) or time.monotonic() - self._admitted > PATIENCE:
            return None
        first = self._first(job, minute)
        if first is None:
            return None
        return Blocked(State.QUEUED, f"after {first.spec.kind} {first.spec.run}, which enters the queue first")

    def _first(self, job: Job, minute: int) -> Job | None:
        """An earlier job of the same user that may enter the queue and has not entered it yet, or None."""
        queued = {ticket.job for ticket in self._queue.waiting()}
        others = [
            other
            for other in self._others()
            if not other.state.waiting or file_lock.is_held(self._dir.supervised(other.id))
        ]
        for other in others:
            if (
                other.state.waiting
                and other.id not in queued
                and is_earlier(other, job)
                and (other.wants == "none") is (job.wants == "none")
                and self._check_admission(other, self._store.folder(other.id), others, minute) is None
            ):
                return other
        return None

    def _check_admission(self, job: Job, folder: Path, others: Sequence[Job], minute: int) -> Blocked | None:
        return check_admission(job, held_by(folder), is_released(folder), others, minute)

    def _others(self, ids: Sequence[str] | None = None) -> list[Job]:
        """The jobs of the runs folder, or those with these ids, without unfinished jobs copied from another runs
        folder: nothing updates their copies."""
        jobs = self._store.jobs(ids)
        return [job for job in jobs if job.state.ended or is_at_home(job, self._store.folder(job.id))]
