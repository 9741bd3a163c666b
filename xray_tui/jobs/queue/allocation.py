"""GPU allocation: assigns GPUs to waiting jobs, as a pure function of the queue and one sample of the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xray_tui.gpu.in_use import RecentUse, UnexplainedUse, Use, judge
from xray_tui.gpu.snapshot import GpuSample
from xray_tui.jobs.model.gpu_policy import MOST_SLOTS, SHARE, GpuPolicy
from xray_tui.jobs.queue.tickets import Ticket

RESERVES = 6 * 3600.0
"""Seconds for which a multi-GPU job at the head of the queue reserves the free GPUs; later, smaller jobs pass it."""

NO_GPU_NOTE = "on the CPU: this machine has no NVIDIA GPU"


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs and CPU slots of the machine, and which of them are in use, at one moment."""

    gpus: tuple[GpuSample, ...]
    expects_gpus: bool
    """Whether there is an NVIDIA driver or a card without one. If no GPU is visible then, "auto" jobs wait until the
    fault is fixed instead of using the CPU."""
    problem: str | None = None
    """Why no GPUs are visible, or why their sample is out of date."""
    held: frozenset[str] = frozenset()
    """UUIDs of the GPUs that jobs of any user hold exclusively."""
    shared: Mapping[str, int] = field(default_factory=dict)
    """Number of jobs on each shared GPU, by UUID."""
    samples: RecentUse = field(default_factory=dict)
    """The unexplained usage in the last samples; a GPU without an entry is judged by its current sample."""
    cpu_slots: int = 1
    cpu_free: int = 0

    def on_cpu(self, ticket: Ticket) -> bool:
        """Whether the job runs without a GPU here."""
        return ticket.gpu == "none" or (ticket.gpu == "auto" and not self.gpus and not self.expects_gpus)


@dataclass(frozen=True, slots=True)
class Place:
    """The GPUs on which a job may start now; empty for the CPU."""

    gpus: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The reason why a job cannot start yet."""

    reason: str
    foreign: bool = False
    """Whether the cause is outside the queue, such as foreign processes, so that the end of jobs does not help."""
    before: int = 0
    """Number of jobs that are served first."""


def allot(alive: Sequence[Ticket], mine: Ticket, machine: Machine, now: float = 0.0) -> Place | Wait:
    """Assign free GPUs to the living tickets in order, up to `mine`, which is one of them.

    A GPU that an earlier ticket names is reserved for it. The free GPUs are reserved for an earlier ticket that needs
    several, for at most RESERVES seconds. `now` is in seconds since the epoch, like Ticket.since.
    """
    if machine.on_cpu(mine):
        return _on_cpu(alive, mine, machine)
    if not machine.gpus or machine.problem:
        return Wait(machine.problem or "no GPU is visible", foreign=True)
    before = [ticket for ticket in alive if ticket < mine and not machine.on_cpu(ticket)]
    taken = Counter(machine.shared)  # number of slots taken on each GPU, by UUID
    for ticket in before:
        slots = 1 if ticket.shares else MOST_SLOTS
        taken.update(dict.fromkeys(_takes(ticket, machine, taken, now), slots))
    free = _free_for(mine, machine, taken)
    if len(free) >= mine.needs:
        return Place(tuple(free[: mine.needs]))
    return _fixed_in_use(mine, before, machine) if mine.fixed else _crowded(mine, before, machine, free)


def _takes(ticket: Ticket, machine: Machine, taken: Counter[str], now: float) -> Sequence[str]:
    """The GPUs that this ticket takes or reserves; empty if it needs more GPUs than the machine has."""
    free = _free_for(ticket, machine, taken)
    if len(free) >= ticket.needs:
        return free[: ticket.needs]
    if _is_late(ticket, now) or len(_wanted(ticket, machine)) < ticket.needs:
        return ()
    return ticket.fixed or free


def _is_late(ticket: Ticket, now: float) -> bool:
    return ticket.since is not None and now - ticket.since >= RESERVES


def lets_pass(ticket: Ticket, now: float) -> bool:
    """Whether the next ticket counts as the head of the queue, because this one names its GPUs or is late."""
    return bool(ticket.fixed) or _is_late(ticket, now)


def _free_for(ticket: Ticket, machine: Machine, taken: Counter[str]) -> list[str]:
    """The GPUs that this ticket could take now, in order of preference. A sharing ticket prefers GPUs that are already
    shared, so that whole GPUs stay free for other jobs."""
    slots = ticket.terms.slots if ticket.shares else 1
    uuids = [
        gpu.uuid
        for gpu in _wanted(ticket, machine)
        if taken[gpu.uuid] < slots and _obstacle_for(ticket, gpu, machine) is None
    ]
    return sorted(uuids, key=lambda uuid: not machine.shared.get(uuid)) if ticket.shares else uuids


def _obstacle_for(ticket: Ticket, gpu: GpuSample, machine: Machine) -> Wait | None:
    """Why the ticket cannot take this GPU. The processes on a shared GPU count as those of the jobs that share it."""
    sharing = machine.shared.get(gpu.uuid, 0)
    if sharing and (not ticket.shares or sharing >= ticket.terms.slots):
        return Wait(f"shared by {sharing} job{'' if sharing == 1 else 's'}")
    terms = replace(ticket.terms, foreign=SHARE) if sharing else ticket.terms
    return obstacle(gpu, machine.held, terms, machine.samples.get(gpu.uuid, ()), bool(ticket.fixed))


def _wanted(ticket: Ticket, machine: Machine) -> list[GpuSample]:
    """The visible GPUs that fit the ticket, in order of preference."""
    order = ticket.fixed or ticket.terms.allowed
    if not order:
        return [gpu for gpu in machine.gpus if gpu.uuid]
    return sorted((gpu for gpu in machine.gpus if gpu.uuid in order), key=lambda gpu: order.index(gpu.uuid))


def _on_cpu(alive: Sequence[Ticket], mine: Ticket, machine: Machine) -> Place | Wait:
    before = sum(machine.on_cpu(ticket) for ticket in alive if ticket < mine)
    if machine.cpu_free > before:
        return Place((), NO_GPU_NOTE if mine.gpu == "auto" else None)
    if before:
        return _jobs_before(before)
    slots = machine.cpu_slots
    return Wait("1 job runs on the CPU already" if slots == 1 else f"{slots} jobs run on the CPU already")


def obstacle(
    gpu: GpuSample,
    held: Collection[str],
    terms: GpuPolicy = GpuPolicy(),  # noqa: B008 - frozen
    samples: Sequence[UnexplainedUse] = (),
    named: bool = False,
) -> Wait | None:
    """Why this GPU cannot be taken now under these terms, without its name; None if it is free.

    `samples` are the GPU's last samples (see in_use.judge). `named` means that the job asks for this GPU by name, so
    that it counts as free even if its usage is unknown.
    """
    if gpu.uuid in held:
        return Wait("used by a job")
    if gpu.problem:
        return Wait(gpu.problem, foreign=True)
    if terms.ignores_processes(gpu.memory_used):
        return None
    for process in gpu.processes or ():
        if process.computes:
            user = f" ({process.user})" if process.user else ""
            return Wait(f"used by pid {process.pid}{user}", foreign=True)
    use, reason = judge(gpu, samples, terms.idle_under)
    if use is Use.FREE or (use is Use.UNKNOWN and named):
        return None
    hint = f"; only --gpu {gpu.index} or foreign: share takes it" if use is Use.UNKNOWN else ""
    return Wait(f"{reason}{hint}", foreign=True)


def _named(gpu: GpuSample, wait: Wait | None) -> Wait | None:
    """The obstacle as a sentence about its GPU."""
    if wait is None:
        return None
    verb = ":" if wait.reason == gpu.problem else " is"
    return replace(wait, reason=f"GPU {gpu.index}{verb} {wait.reason}")


def _fixed_in_use(mine: Ticket, before: Sequence[Ticket], machine: Machine) -> Wait:
    """Why a ticket that names its GPUs cannot start: one of them is not free."""
    visible = {gpu.uuid: gpu for gpu in machine.gpus}
    for uuid in mine.fixed:
        if uuid not in visible:
            return Wait(f"{uuid} is not visible", foreign=True)
        if (wait := _named(visible[uuid], _obstacle_for(mine, visible[uuid], machine))) is not None:
            return wait
    return _jobs_before(sum(ticket.gpu == "auto" or bool({*ticket.fixed} & {*mine.fixed}) for ticket in before))


def _crowded(mine: Ticket, before: Sequence[Ticket], machine: Machine, free: Sequence[str]) -> Wait:
    """Why an "auto" ticket cannot start: too few GPUs, earlier jobs, or obstacles on the GPUs."""
    wanted = _wanted(mine, machine)
    if len(wanted) < mine.count:
        allowed = "allowed " if mine.terms.allowed else ""
        return Wait(f"needs {mine.count} {allowed}GPU{'s' * (mine.count > 1)}; {len(wanted)} visible", foreign=True)
    if before:
        return _jobs_before(len(before))
    obstacles = [wait for gpu in wanted if (wait := _named(gpu, _obstacle_for(mine, gpu, machine))) is not None]
    foreign = next((wait for wait in obstacles if wait.foreign), None)
    if mine.count > 1:
        reason = f": {foreign.reason}" if foreign else ""
        return Wait(f"needs {mine.count} GPUs at once, {len(free)} free{reason}", foreign=foreign is not None)
    if len(obstacles) == 1:
        return obstacles[0]
    if foreign is None:
        return Wait(f"all {len(wanted)} GPUs are used by other jobs")
    return Wait(f"no GPU is free: {foreign.reason}", foreign=True)


def _jobs_before(count: int) -> Wait:
    return Wait("1 job before it" if count == 1 else f"{count} jobs before it", before=count)
