"""The jobs feed: reads the jobs every second and reports changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xray_tui.feeds.last_validation import Block, Validations
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.system.retry import Report

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job


class JobsFeed(PeriodicThread):
    """A thread that reads runs/.jobs and, after a change, calls `on_jobs` with all jobs, newest first, a line about
    the waiting jobs of other users, and the last validation of each running training."""

    RECOVER_EVERY = 5
    """Ticks between two searches for jobs whose supervisor died. Not 1, because a search takes the queue's mutex."""

    def __init__(
        self,
        runs: Path,
        on_jobs: Callable[[tuple[Job, ...], str, dict[str, Block]], None],
        on_failure: Report,
        lease_dir: Path | str | None = None,
    ) -> None:
        """`lease_dir` is the one in the settings, if set."""
        super().__init__(1.0, "jobs", "reading the jobs", on_failure)
        self._runs = runs
        self._on_jobs = on_jobs
        self._lease_dir = lease_dir
        self._others = ""
        self._validations = Validations(runs)
        self._latest: tuple[tuple[Job, ...], str, dict[str, Block]] | None = None
        self._ticks = 0

    def tick(self) -> None:
        from xray_tui.jobs.storage.job_store import JobStore
        from xray_tui.jobs.supervise.recovery import recover_orphans

        if self._ticks == 0:
            self._store = JobStore(self._runs)
        recovering = self._ticks % self.RECOVER_EVERY == 0
        self._ticks += 1
        jobs = tuple(recover_orphans(self._store) if recovering else self._store.jobs())
        self._others = self._jobs_of_others(jobs) if recovering else self._others
        latest = jobs, self._others, self._validations.read(jobs)
        if latest != self._latest and not self.stopping:
            self._latest = latest
            self._on_jobs(*latest)

    def _jobs_of_others(self, jobs: tuple[Job, ...]) -> str:
        from xray_tui.jobs.locks.lock_dir import existing_lock_dir
        from xray_tui.jobs.queue.tickets import in_words, others

        try:
            return in_words(others(existing_lock_dir(self._lease_dir), {job.id for job in jobs}))
        except OSError:
            return ""
