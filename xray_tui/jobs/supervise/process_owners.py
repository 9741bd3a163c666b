"""The owners of processes: the run that a process belongs to, and the job with which it can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from engine.contract.text import clean
from xray_tui.jobs.model.job import Job
from xray_tui.system import process
from xray_tui.system.process import Stat


@dataclass(frozen=True, slots=True)
class Owner:
    """The run that a process belongs to."""

    run: str
    job: str | None
    """Its job, if that was among the given jobs and has not ended; None if the process cannot be stopped here."""


class Marks:
    """A cache of the marks in the environments of processes.

    The marks do not change, and reading them again could hang: reading the environment blocks while the kernel holds
    the lock on the memory of the process, for example while the process hangs in the GPU driver.
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[int, int], tuple[str, str]] = {}

    def of(self, pid: int, start: int) -> tuple[str, str]:
        """(job id, run) of the process with this pid and start time; empty strings for missing marks."""
        marks = self._marks.get((pid, start))
        if marks is None:
            variables = dict(item.partition(b"=")[::2] for item in process.environment(pid))
            job, run = (
                clean(variables.get(mark.encode(), b"").decode("utf-8", "replace"))
                for mark in (process.JOB_MARK, process.RUN_MARK)
            )
            marks = job, run
            if variables:
                self._marks[pid, start] = marks
        return marks

    def forget_all_but(self, pids: Collection[int]) -> None:
        self._marks = {key: marks for key, marks in self._marks.items() if key[0] in pids}


def owners(pids: Iterable[int], jobs: Iterable[Job], marks: Marks | None = None) -> dict[int, Owner]:
    """The owners of these processes by pid; a process without a known run is omitted.

    The sources, in this order: the parents, which also cover children in other sessions and cannot be forged; the
    session, which belongs to one job and covers children whose parents have ended; the marks in the environment, which
    outlast both, but are overwritten by setproctitle and hidden for processes of other users.

    Reads each file of /proc at most once, and only for these pids, their parents and the processes of the jobs.
    Repeated calls pass the same `marks`.
    """
    stat, marks, pids = cache(process.stat), marks or Marks(), frozenset(pids)
    by_job: dict[str, Owner] = {}
    by_pid: dict[int, Owner] = {}
    by_session: dict[int, Owner] = {}
    for job in _living_here(jobs):
        owner = by_job[job.id] = Owner(job.spec.run, job.id)
        for recorded in filter(None, (job.supervisor, job.process)):
            now = stat(recorded.pid)
            if now is not None and now.start == recorded.start:
                by_pid[recorded.pid] = owner
                by_session[now.session] = owner  # only now: session numbers are reused

    def owner_of(pid: int) -> Owner | None:
        now = stat(pid)
        if now is None:
            return None
        kin = next(filter(None, map(by_pid.get, _ancestors(pid, stat))), None) or by_session.get(now.session)
        if kin is not None:
            return kin
        job, run = marks.of(pid, now.start)
        return by_job.get(job) or (Owner(run, None) if run else None)

    found = {pid: known for pid in pids if (known := owner_of(pid)) is not None}
    marks.forget_all_but(pids)
    return found


def _living_here(jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs that have not ended, of this machine and boot: other pids mean other processes here."""
    here = (process.host(), process.boot())
    return (job for job in jobs if not job.state.ended and (job.host, job.boot) == here)


def _ancestors(pid: int, stat: Callable[[int], Stat | None]) -> Iterator[int]:
    """The process and its ancestors, up to the first that cannot be seen."""
    child: Stat | None = None
    while pid > 0 and (now := stat(pid)) is not None:
        if child is not None and now.start > child.start:
            return  # started after its child: the real parent has ended and its pid was reused
        yield pid
        pid, child = now.parent, now


def runs_by_gpu(jobs: Iterable[Job]) -> dict[str, list[str]]:
    """The runs of the living jobs on each GPU, by UUID: also known if the driver does not list the processes of a job,
    as in a container."""
    runs: dict[str, list[str]] = {}
    for job in _living_here(jobs):
        if job.gpus and any(map(process.is_alive, filter(None, (job.supervisor, job.process)))):
            for uuid in job.gpus:
                runs.setdefault(uuid, []).append(job.spec.run)
    return runs
