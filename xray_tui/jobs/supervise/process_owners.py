"""Whose processes they are: the run that each works for, and the job of ours that it could be stopped with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from engine.contract.text import clean
from xray_tui.jobs.model.job import Job
from xray_tui.system import process
from xray_tui.system.process import Stat


@dataclass(frozen=True, slots=True)
class Owner:
    """The run that a process works for."""

    run: str
    job: str | None
    """Its job, where that is one of those that were asked about and has not ended; else nobody can stop it here."""


class Marks:
    """The marks in processes' environments, each process read once.

    They do not change, and another reading might hang: the kernel keeps whoever asks waiting for the environment of a
    process whose memory it is busy with, and one that hangs in the GPU's driver can be such.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[str, str]] = {}

    def of(self, pid: int, start: int) -> tuple[str, str]:
        """The job's id and its run, empty where they are not told, of the process that began then."""
        known = self._known.get((pid, start))
        if known is None:
            told = dict(item.partition(b"=")[::2] for item in process.environment(pid))
            known = _text(told.get(process.JOB_MARK.encode(), b"")), _text(told.get(process.RUN_MARK.encode(), b""))
            if told:
                self._known[pid, start] = known
        return known

    def forget_all_but(self, pids: Collection[int]) -> None:
        """Drop the processes that nobody asks about any more."""
        self._known = {key: known for key, known in self._known.items() if key[0] in pids}


def owners(pids: Iterable[int], jobs: Iterable[Job], marks: Marks | None = None) -> dict[int, Owner]:
    """The owners of those processes that work for a run, as far as can be known; others are not in it.

    The chain of parents tells first: it holds for children in sessions of their own, and cannot be forged. Then the
    session, which a job has to itself and which holds for children whose parents are gone. Then the marks in the
    environment, which outlast both, but which setproctitle writes over and other users' processes do not show.

    Each file of /proc is read once at most, and only of these pids, their parents and the jobs' own processes. Whoever
    asks again and again passes the same `marks` each time.
    """
    look, marks, pids = _Look(), marks or Marks(), frozenset(pids)
    ours = _ours(look, jobs)
    found = {}
    for pid in pids:
        if (owner := ours.by_kin(look, pid) or ours.by_marks(look, pid, marks)) is not None:
            found[pid] = owner
    marks.forget_all_but(pids)
    return found


def runs_by_gpu(jobs: Iterable[Job]) -> dict[str, list[str]]:
    """The runs whose living jobs have each GPU, by its UUID: known also where the driver does not list a job's
    processes, as in a container."""
    found: dict[str, list[str]] = {}
    here = (process.host(), process.boot())
    for job in jobs:
        if not job.gpus or job.state.ended or (job.host, job.boot) != here:
            continue
        if any(map(process.is_alive, filter(None, (job.supervisor, job.process)))):
            for uuid in job.gpus:
                found.setdefault(uuid, []).append(job.spec.run)
    return found


@dataclass(slots=True)
class _Look:
    """What has been read of /proc by now."""

    stats: dict[int, Stat | None] = field(default_factory=dict)

    def stat(self, pid: int) -> Stat | None:
        if pid not in self.stats:
            self.stats[pid] = process.stat(pid)
        return self.stats[pid]

    def line(self, pid: int) -> Iterator[int]:
        """The process and its parents, up to the first that cannot be seen."""
        child: Stat | None = None
        while pid > 0 and (found := self.stat(pid)) is not None:
            if child is not None and found.start > child.start:
                return  # born after its child: the parent has ended since, and its number was given again
            yield pid
            pid, child = found.parent, found


@dataclass(slots=True)
class _Ours:
    """The living jobs of this machine, by all that tells that a process is one of theirs."""

    jobs: dict[str, Owner] = field(default_factory=dict)
    processes: dict[int, Owner] = field(default_factory=dict)
    sessions: dict[int, Owner] = field(default_factory=dict)

    def by_kin(self, look: _Look, pid: int) -> Owner | None:
        for relative in look.line(pid):
            if relative in self.processes:
                return self.processes[relative]
        found = look.stat(pid)
        return None if found is None else self.sessions.get(found.session)

    def by_marks(self, look: _Look, pid: int, marks: Marks) -> Owner | None:
        found = look.stat(pid)
        job, run = ("", "") if found is None else marks.of(pid, found.start)
        return self.jobs.get(job) or (Owner(run, None) if run else None)


def _ours(look: _Look, jobs: Iterable[Job]) -> _Ours:
    """A session counts only while the job's own process is in it: its number is given again."""
    ours = _Ours()
    here = (process.host(), process.boot())
    for job in jobs:
        if job.state.ended or (job.host, job.boot) != here:
            continue  # the pids of another machine, or of before a restart, are others' by now
        owner = ours.jobs[job.id] = Owner(job.spec.run, job.id)
        for known in filter(None, (job.supervisor, job.process)):
            found = look.stat(known.pid)
            if found is None or found.start != known.start:
                continue
            ours.processes[known.pid] = owner
            ours.sessions[found.session] = owner
    return ours


def _text(value: bytes) -> str:
    return clean(value.decode("utf-8", "replace"))
