"""When the queue of a runs folder will be done with one job more in it. Looks at jobs, GPUs and leases."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from xray_tui.gpu.sample import GpuSample, GpuSnapshot
from xray_tui.jobs.allot import obstacle
from xray_tui.jobs.asked import asked
from xray_tui.jobs.history import History
from xray_tui.jobs.job import CPU_SLOTS, Job, JobSpec, State
from xray_tui.jobs.lease_dir import existing_lease_dir
from xray_tui.jobs.queue import Queue
from xray_tui.jobs.queue_end import QueueEnd, Task, queue_end
from xray_tui.jobs.standing import leased
from xray_tui.jobs.terms import Terms


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a job would run."""

    runs: Path
    snapshot: GpuSnapshot = GpuSnapshot()  # noqa: RUF009 - frozen
    terms: Terms = Terms()  # noqa: RUF009 - frozen
    lease_dir: str | None = None
    """As in the settings."""
    cpu_slots: int = CPU_SLOTS


def forecast(new: Sequence[Job], place: Surroundings, jobs: Sequence[Job], history: History) -> QueueEnd | None:
    """When the queue would be done with the new jobs in it; None where there are no others and nothing is known of
    these."""
    specs = {job.id: job.spec for job in (*jobs, *new)}
    likely = Likely(place, history, specs)
    running = [_running(job, likely) for job in jobs if job.state in (State.STARTING, State.RUNNING)]
    usable = _usable(place, running)
    queued = _in_order(jobs)
    waiting = [(job.ticket, _waiting(job, job.terms, likely)) for job in queued]
    # Behind all of their priority, in the order of their launch: a tilde comes after every digit.
    added = [
        (f"{job.spec.priority:02d}.~{number:03d}", _waiting(job, place.terms, likely)) for number, job in enumerate(new)
    ]
    if not running and not waiting and all(task.seconds is None for _, task in added):
        return None
    order = [task for _, task in sorted([*waiting, *added], key=lambda pair: pair[0])]
    return queue_end(running, order, usable, place.cpu_slots, _others(place, jobs))


@dataclass(frozen=True, slots=True)
class Likely:
    """What jobs are likely to take, by what similar ones took."""

    place: Surroundings
    history: History
    specs: Mapping[str, JobSpec]

    def seconds(self, spec: JobSpec, gpus: int) -> float | None:
        try:
            wanted = asked(self.place.runs, spec, Path.cwd(), self.specs)
        except BadInput:
            return None
        found = self.history.estimate(spec.kind, wanted, gpus)
        return None if found is None else found.seconds


def _in_order(jobs: Sequence[Job]) -> list[Job]:
    """The queued jobs as they will be served. Of those that are held or blocked, and of what comes after them, nobody
    knows when they begin: they are left out."""
    sleeping = {job.id for job in jobs if job.state in (State.HELD, State.BLOCKED)}
    queued = [job for job in jobs if job.state is State.QUEUED]
    while late := {job.id for job in queued if not sleeping.isdisjoint(job.spec.after)}:
        sleeping |= late
        queued = [job for job in queued if job.id not in late]
    return sorted(queued, key=lambda job: job.ticket)


def _running(job: Job, likely: Likely) -> Task:
    name = f"{job.spec.kind} {job.spec.run}"
    left = job.progress.eta_s if job.progress is not None and job.spec.kind == "train" else None
    if left is None and (whole := likely.seconds(job.spec, len(job.gpus))) is not None:
        left = max(0.0, whole - (time.time() - (job.started or time.time())))
    why = f"{name} does not say how long it still takes"
    return Task(job.id, name, left, job.gpus, len(job.gpus), _slots(job.spec, job.terms), why=why)


def _waiting(job: Job, terms: Terms, likely: Likely) -> Task:
    spec, name = job.spec, f"{job.spec.kind} {job.spec.run}"
    gpus, count = _wanted(spec, terms, likely.place.snapshot), gpu_count(spec, terms, likely.place.snapshot)
    seconds, why = likely.seconds(spec, count), f"no job like {name} has succeeded yet"
    if terms.hours:
        seconds, why = None, f"{name} may start at {terms.hours.replace('-', ' to ')} only"
    return Task(job.id, name, seconds, gpus, count, _slots(spec, terms), spec.after, why)


def _slots(spec: JobSpec, terms: Terms) -> int:
    """How many jobs share its GPU: as Ticket.shares has it."""
    return terms.slots if spec.gpu == "auto" and spec.gpu_count == 1 else 1


def gpu_count(spec: JobSpec, terms: Terms, snapshot: GpuSnapshot) -> int:
    """How many GPUs the job takes; 0 where it is on the CPU."""
    gpus = _wanted(spec, terms, snapshot)
    return spec.gpu_count if gpus and spec.gpu == "auto" else len(gpus)


def free_of(spec: JobSpec, place: Surroundings) -> tuple[list[GpuSample], list[str]]:
    """(the GPUs of which the job takes some, the UUIDs of those that it could have at this moment)."""
    wanted = _wanted(spec, place.terms, place.snapshot)
    gpus = [gpu for gpu in place.snapshot.gpus if gpu.uuid in wanted]
    free = _free(place, _slots(spec, place.terms))
    return gpus, [gpu.uuid for gpu in gpus if gpu.uuid in free]


def _wanted(spec: JobSpec, terms: Terms, snapshot: GpuSnapshot) -> tuple[str, ...]:
    """UUIDs of the GPUs of which the job takes some; none where it is on the CPU."""
    if spec.gpu == "none":
        return ()
    by_index = {str(gpu.index): gpu.uuid for gpu in snapshot.gpus}
    named = spec.gpu.split(",") if spec.gpu != "auto" else terms.allowed
    return tuple(by_index.get(one, one) for one in named) or tuple(gpu.uuid for gpu in snapshot.gpus if gpu.uuid)


def _usable(place: Surroundings, running: Sequence[Task]) -> tuple[str, ...]:
    """The GPUs that jobs of this folder have or could have now, not more than max_gpus."""
    ours = {uuid for task in running for uuid in task.gpus}
    free = _free(place, place.terms.slots, ours)
    most = place.terms.max_gpus
    return (*ours, *(free if most is None else free[: max(0, most - len(ours))]))


def _free(place: Surroundings, slots: int, but: Collection[str] = ()) -> list[str]:
    """The GPUs that nothing keeps a job from taking now, without these."""
    gpus = [gpu for gpu in place.snapshot.gpus if gpu.uuid and gpu.uuid not in but]
    taken = leased((gpu.uuid for gpu in gpus), existing_lease_dir(place.lease_dir), slots)
    return [gpu.uuid for gpu in gpus if obstacle(gpu, taken, place.terms) is None]


def _others(place: Surroundings, jobs: Sequence[Job]) -> list[str]:
    """What is known of jobs of other runs folders in the queue: only that they are there."""
    found = existing_lease_dir(place.lease_dir)
    if found is None:
        return []
    known = {job.id for job in jobs}
    try:
        queue = Queue(found)
        count = sum(ticket.job not in known and queue.is_alive(ticket) for ticket in queue.waiting())
    except OSError:
        return []
    waiting = "1 job of another runs folder waits" if count == 1 else f"{count} jobs of other runs folders wait"
    return [f"{waiting} too"] if count else []
