"""The owners of processes: the run that a process belongs to, and the job with which it can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from engine.contract.text import clean
from xray_tui.jobs.model.job import Job
from xray_tui.system import process
from xray_tui.system.process import Stat


@dataclass(frozen=True, slots=True)
class Owner:
    """The run that a process belongs to."""

    run: str
    job: str | None
    """Id of its job, if the job was given to `owners` and has not ended; None if the process cannot be stopped here."""


@lru_cache(4096)
def _marks(pid: int, start: int) -> tuple[str, str]:
    """(job id, run) in the environment of the process with this pid and start time; empty strings for missing marks.

    Cached, because marks do not change and reading them again could hang: the kernel may hold the lock on the memory of
    the process, for example while it hangs in the GPU driver. Raises PermissionError (not cached) if it is unreadable.
    """
    variables = dict(item.partition(b"=")[::2] for item in process.environment(pid))
    if not any(variables):  # the environment is empty for a moment during exec, too
        raise PermissionError
    job, run = (variables.get(mark.encode(), b"") for mark in (process.JOB_MARK, process.RUN_MARK))
    return clean(job.decode("utf-8", "replace")), clean(run.decode("utf-8", "replace"))


def owners(pids: Iterable[int], jobs: Iterable[Job]) -> dict[int, Owner]:
    """The owners of these processes by pid; a process without a known run is omitted.

    The sources, in this order: the parents, which also cover children in other sessions and cannot be forged; the
    session, which belongs to one job and covers children whose parents have ended; the marks in the environment, which
    outlast both, but are overwritten by setproctitle and hidden for processes of other users.

    Reads each file of /proc at most once, and only for these pids, their parents and the processes of the jobs.
    """
    stat = cache(process.stat)
    by_job: dict[str, Owner] = {}
    by_pid: dict[int, Owner] = {}
    by_session: dict[int, Owner] = {}
    for job in _living_here(jobs):
        owner = by_job[job.id] = Owner(job.spec.run, job.id)
        for recorded in filter(None, (job.supervisor, job.process)):
            now = stat(recorded.pid)
            if now is not None and now.start == recorded.start:
                by_pid[recorded.pid] = owner
                by_session[now.session] = owner  # only if alive: session ids are reused

    def owner_of(pid: int) -> Owner | None:
        now = stat(pid)
        if now is None:
            return None
        kin = next(filter(None, map(by_pid.get, _ancestors(pid, stat))), None) or by_session.get(now.session)
        if kin is not None:
            return kin
        try:
            job, run = _marks(pid, now.start)
        except PermissionError:
            return None
        return by_job.get(job) or (Owner(run, None) if run else None)

    return {pid: known for pid in pids if (known := owner_of(pid)) is not None}


def _living_here(jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs of this machine and boot that have not ended; the pids of other jobs would mean other processes here."""
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
    """The runs of the living jobs on each GPU, by UUID. Includes jobs whose processes the driver does not list, as in a
    container."""
    runs: dict[str, list[str]] = {}
    for job in _living_here(jobs):
        if job.gpus and any(map(process.is_alive, filter(None, (job.supervisor, job.process)))):
            for uuid in job.gpus:
                runs.setdefault(uuid, []).append(job.spec.run)
    return runs
