"""The owners of processes: the run that a process belongs to, and the job with which it can be stopped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

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
            job, run = (variables.get(mark.encode(), b"") for mark in (process.JOB_MARK, process.RUN_MARK))
            marks = _text(job), _text(run)
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
    stats, marks, pids = _Stats(), marks or Marks(), frozenset(pids)
    ours = _ours(stats, jobs)
    by_pid = {}
    for pid in pids:
        if (owner := ours.by_kin(stats, pid) or ours.by_marks(stats, pid, marks)) is not None:
            by_pid[pid] = owner
    marks.forget_all_but(pids)
    return by_pid


def runs_by_gpu(jobs: Iterable[Job]) -> dict[str, list[str]]:
    """The runs of the living jobs on each GPU, by UUID: also known if the driver does not list the processes of a job,
    as in a container."""
    runs: dict[str, list[str]] = {}
    here = (process.host(), process.boot())
    for job in jobs:
        if not job.gpus or job.state.ended or (job.host, job.boot) != here:
            continue
        if any(map(process.is_alive, filter(None, (job.supervisor, job.process)))):
            for uuid in job.gpus:
                runs.setdefault(uuid, []).append(job.spec.run)
    return runs


@dataclass(slots=True)
class _Stats:
    """A cache of /proc/PID/stat for one call of `owners`."""

    by_pid: dict[int, Stat | None] = field(default_factory=dict)

    def of(self, pid: int) -> Stat | None:
        if pid not in self.by_pid:
            self.by_pid[pid] = process.stat(pid)
        return self.by_pid[pid]

    def ancestors(self, pid: int) -> Iterator[int]:
        """The process and its ancestors, up to the first that cannot be seen."""
        child: Stat | None = None
        while pid > 0 and (stat := self.of(pid)) is not None:
            if child is not None and stat.start > child.start:
                return  # started after its child: the real parent has ended and its pid was reused
            yield pid
            pid, child = stat.parent, stat


@dataclass(slots=True)
class _Ours:
    """The owners of the living jobs of this machine, by job id, pid and session."""

    jobs: dict[str, Owner] = field(default_factory=dict)
    processes: dict[int, Owner] = field(default_factory=dict)
    sessions: dict[int, Owner] = field(default_factory=dict)

    def by_kin(self, stats: _Stats, pid: int) -> Owner | None:
        for ancestor in stats.ancestors(pid):
            if ancestor in self.processes:
                return self.processes[ancestor]
        stat = stats.of(pid)
        return None if stat is None else self.sessions.get(stat.session)

    def by_marks(self, stats: _Stats, pid: int, marks: Marks) -> Owner | None:
        stat = stats.of(pid)
        job, run = ("", "") if stat is None else marks.of(pid, stat.start)
        return self.jobs.get(job) or (Owner(run, None) if run else None)


def _ours(stats: _Stats, jobs: Iterable[Job]) -> _Ours:
    """A session counts only while a process of the job itself is in it, because session numbers are reused."""
    ours = _Ours()
    here = (process.host(), process.boot())
    for job in jobs:
        if job.state.ended or (job.host, job.boot) != here:
            continue  # the pids of another machine or an earlier boot mean other processes here
        owner = ours.jobs[job.id] = Owner(job.spec.run, job.id)
        for recorded in filter(None, (job.supervisor, job.process)):
            stat = stats.of(recorded.pid)
            if stat is None or stat.start != recorded.start:
                continue
            ours.processes[recorded.pid] = owner
            ours.sessions[stat.session] = owner
    return ours


def _text(value: bytes) -> str:
    return clean(value.decode("utf-8", "replace"))
