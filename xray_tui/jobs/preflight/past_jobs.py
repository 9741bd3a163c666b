"""The time, memory and disk space of past jobs, for estimates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xray_tui.jobs.launch.resolve import Asked, of_run
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.preflight.disk_space import written
from xray_tui.jobs.preflight.estimate import Estimate, Needs, Past, estimate, needs
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system import process

LOOKED_AT = 60
"""Maximum number of jobs per kind, the newest first: each job costs reading a config."""


class History:
    """The succeeded jobs of a runs folder by kind; each kind is read once, at the first request."""

    def __init__(self, runs: Path, jobs: Sequence[Job]) -> None:
        self._runs = runs
        self._jobs = succeeded(jobs)
        self._past: dict[str, list[Past]] = {}

    def is_of(self, jobs: Sequence[Job]) -> bool:
        """Whether `jobs` contain the same succeeded jobs."""
        return self._jobs == succeeded(jobs)

    def estimate(self, kind: str, wanted: Asked, gpus: int) -> Estimate | None:
        """Estimate a job of this kind from similar jobs; None without a similar job."""
        required = needs(wanted, gpus)
        return None if required is None else estimate(required, self._of_kind(kind))

    def _of_kind(self, kind: str) -> list[Past]:
        if kind not in self._past:
            of_kind = [job for job in self._jobs if job.spec.kind == kind][:LOOKED_AT]
            if kind in ("train", "blend"):  # a run folder has only the config of its last job
                of_kind = list({job.spec.run: job for job in reversed(of_kind)}.values())[::-1]
            self._past[kind] = [past for job in of_kind if (past := self._took(job)) is not None]
        return self._past[kind]

    def _took(self, job: Job) -> Past | None:
        folder = self._runs / job.spec.run
        resolved = of_run(self._runs, job.spec, Path(job.cwd))
        required: Needs | None = None if resolved is None else needs(resolved, len(job.gpus))
        if required is None:
            return None
        is_uninterrupted = job.attempt == 1 and not job.spec.resumes
        seconds = job.ended - job.started if is_uninterrupted and job.ended and job.started else None
        wrote = written(folder) if job.spec.kind in ("train", "blend") else None
        return Past(required, seconds, job.peak_memory, job.peak_gpu_memory, wrote)


def succeeded(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.state is State.SUCCEEDED]


class KnownJobs:
    """This host's jobs of a runs folder and their history; repeated reads read only changed files."""

    def __init__(self, runs: Path) -> None:
        self._store = JobStore(runs)
        self._history: History | None = None

    def read(self) -> tuple[list[Job], History]:
        """Read the jobs. Raises OSError if the jobs folder cannot be listed."""
        jobs = [job for job in self._store.jobs() if job.host == process.host()]
        history = self._history
        if history is None or not history.is_of(jobs):
            self._history = history = History(self._store.runs, jobs)
        return jobs, history
