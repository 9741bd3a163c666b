"""What jobs of the past took, for those that are like them."""

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
"""So many jobs of a kind are looked at, the newest first: each costs reading its run's config."""


class History:
    """The jobs of a runs folder that have succeeded, by kind; each kind is read once, when it is asked for."""

    def __init__(self, runs: Path, jobs: Sequence[Job]) -> None:
        self._runs = runs
        self._jobs = succeeded(jobs)
        self._past: dict[str, list[Past]] = {}

    def is_of(self, jobs: Sequence[Job]) -> bool:
        """Whether these jobs have the same succeeded ones."""
        return self._jobs == succeeded(jobs)

    def estimate(self, kind: str, wanted: Asked, gpus: int) -> Estimate | None:
        """From similar ones."""
        what = needs(wanted, gpus)
        return None if what is None else estimate(what, self._of_kind(kind))

    def _of_kind(self, kind: str) -> list[Past]:
        if kind not in self._past:
            of_kind = [job for job in self._jobs if job.spec.kind == kind][:LOOKED_AT]
            if kind in ("train", "blend"):  # a run's config is that of its last job
                of_kind = list({job.spec.run: job for job in reversed(of_kind)}.values())[::-1]
            self._past[kind] = [past for job in of_kind if (past := self._took(job)) is not None]
        return self._past[kind]

    def _took(self, job: Job) -> Past | None:
        folder = self._runs / job.spec.run
        had = of_run(self._runs, job.spec, Path(job.cwd))
        what: Needs | None = None if had is None else needs(had, len(job.gpus))
        if what is None:
            return None
        whole = job.attempt == 1 and not job.spec.resumes
        seconds = job.ended - job.started if whole and job.ended and job.started else None
        wrote = written(folder) if job.spec.kind in ("train", "blend") else None
        return Past(what, seconds, job.peak_memory, job.peak_gpu_memory, wrote)


def succeeded(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.state is State.SUCCEEDED]


class KnownJobs:
    """This host's jobs of a runs folder and what they took, for repeated looks: only changed files are read again."""

    def __init__(self, runs: Path) -> None:
        self._store = JobStore(runs)
        self._history: History | None = None

    def read(self) -> tuple[list[Job], History]:
        """Raises OSError where the folder of jobs cannot be listed."""
        jobs = [job for job in self._store.jobs() if job.host == process.host()]
        history = self._history
        if history is None or not history.is_of(jobs):
            self._history = history = History(self._store.runs, jobs)
        return jobs, history
