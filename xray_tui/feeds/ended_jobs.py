"""Which jobs have ended while the app is open, and the one line that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.contract.text import clean

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

_BAD = ("failed", "lost")


class Endings:
    """Compares the jobs with those of the look before. What has ended at the first look ended before."""

    def __init__(self, user: str, opened: float) -> None:
        """`user` is whose jobs count; those of others end unheard. A job that is new counts if it ended after
        `opened`."""
        self._user = user
        self._opened = opened
        self._alive: frozenset[str] = frozenset()
        self._known: frozenset[str] | None = None

    def of(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """The user's jobs that have ended since the last call, the first to end first."""
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
    """What is said of one ended job, or of several at once."""
    if len(ended) == 1:
        job = ended[0]
        more = f": {job.cause}" if job.cause and job.cause != str(job.state) else ""
        return clean(f"{job.spec.kind} {job.spec.run}: {job.state}{more}")
    counts = Counter(str(job.state) for job in ended)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: item[0] in _BAD))
    wrong = [clean(job.spec.run) for job in ended if job.state in _BAD]
    return f"{len(ended)} jobs have ended: {told}" + (
        f" ({', '.join(wrong[:3])}{' …' if wrong[3:] else ''})" if wrong else ""
    )


def went_wrong(ended: Sequence[Job]) -> bool:
    return any(job.state in _BAD for job in ended)
