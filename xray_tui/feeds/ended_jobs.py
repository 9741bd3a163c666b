"""Find the jobs that ended while the app is open, and describe them in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.contract.text import clean

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

_BAD = ("failed", "lost")


class EndedJobs:
    """Compares the jobs of each update with those of the previous one; the first update reports no job."""

    def __init__(self, user: str, opened: float) -> None:
        """Only the jobs of `user` are reported. A job that has already ended when it is first seen is reported if it
        ended after `opened` (in seconds since the epoch)."""
        self._user = user
        self._opened = opened
        self._alive: frozenset[str] = frozenset()
        self._known: frozenset[str] | None = None

    def update(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """The user's jobs that have ended since the previous call, in the order in which they ended."""
        known, alive = self._known, self._alive
        self._known = frozenset(job.id for job in jobs)
        self._alive = frozenset(job.id for job in jobs if not job.state.ended)
        if known is None:
            return ()
        fresh = [
            job
            for job in jobs
            if job.state.ended
            and job.user in ("", self._user)
            and (job.id in alive or (job.id not in known and (job.ended or 0.0) >= self._opened))
        ]
        return tuple(sorted(fresh, key=lambda job: (job.ended or 0.0, job.id)))


def line(ended: Sequence[Job]) -> str:
    """One line about the ended jobs."""
    if len(ended) == 1:
        job = ended[0]
        more = f": {job.cause}" if job.cause and job.cause != str(job.state) else ""
        return clean(f"{job.spec.kind} {job.spec.run}: {job.state}{more}")
    counts = Counter(str(job.state) for job in ended)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: item[0] in _BAD))
    bad = [clean(job.spec.run) for job in ended if job.state in _BAD]
    return f"{len(ended)} jobs have ended: {states}" + (
        f" ({', '.join(bad[:3])}{' …' if bad[3:] else ''})" if bad else ""
    )


def went_wrong(ended: Sequence[Job]) -> bool:
    return any(job.state in _BAD for job in ended)
