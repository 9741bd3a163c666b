"""Who gets which GPU: a pure function of the queue and of one look at the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xray_tui.gpu.in_use import Look, Looks, Use, judge
from xray_tui.gpu.snapshot import GpuSample
from xray_tui.jobs.model.gpu_policy import SHARE, Terms
from xray_tui.jobs.queue.tickets import Ticket

RESERVES = 6 * 3600.0
"""Seconds for which a job of several GPUs that stands before all others keeps those that are free for itself. Then
smaller ones pass it, until enough are free at once."""

NO_GPU_NOTE = "on the CPU: this machine has no NVIDIA GPU"


@dataclass(frozen=True, slots=True)
class Machine:
    """One look at what there is."""

    gpus: tuple[GpuSample, ...]
    expects_gpus: bool
    """Whether there is an NVIDIA driver, or a card that waits for one. No GPU in sight is a fault then, for whose end
    "auto" waits."""
    problem: str | None = None
    """Why there are no GPUs, or why nothing newer is known of them."""
    leased: frozenset[str] = frozenset()
    """UUIDs of GPUs that jobs hold alone, ours or others'."""
    shared: Mapping[str, int] = field(default_factory=dict)
    """By UUID of those that jobs share: how many."""
    looks: Looks = field(default_factory=dict)
    """What the last samples leave unexplained; a GPU without an entry is judged by its present sample."""
    cpu_slots: int = 1
    cpu_free: int = 0

    def on_cpu(self, ticket: Ticket) -> bool:
        """Whether the job runs without a GPU here."""
        return ticket.gpu == "none" or (ticket.gpu == "auto" and not self.gpus and not self.expects_gpus)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job may start now: these GPUs, none for the CPU."""

    gpus: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a job cannot start yet, in words."""

    reason: str
    foreign: bool = False
    """Only the end of others' processes can help."""
    before: int = 0
    """Jobs that are served first."""


def allot(alive: Sequence[Ticket], mine: Ticket, machine: Machine, now: float = 0.0) -> Place | Wait:
    """Serve the living tickets in order from what is free, until it is the turn of `mine`, which is among them.

    Each earlier ticket is given what it would take. A GPU that an earlier one names is kept for it, and so is what is
    free for one that needs several, if not for longer than RESERVES. `now` is the time of day, as in Ticket.since.
    """
    if machine.on_cpu(mine):
        return _on_cpu(alive, mine, machine)
    if not machine.gpus or machine.problem:
        return Wait(machine.problem or "no GPU is in sight", foreign=True)
    before = [ticket for ticket in alive if ticket < mine and not machine.on_cpu(ticket)]
    left = _Left(machine.shared)
    for ticket in before:
        left.take(ticket, _takes(ticket, machine, left, now))
    free = _free_for(mine, machine, left)
    if len(free) >= mine.needs:
        return Place(tuple(free[: mine.needs]))
    return _fixed_in_use(mine, before, machine) if mine.fixed else _crowded(mine, before, machine, free)


class _Left:
    """What earlier tickets leave of the GPUs."""

    def __init__(self, shared: Mapping[str, int]) -> None:
        self._taken: set[str] = set()
        self._sharing = Counter(shared)

    def take(self, ticket: Ticket, gpus: Sequence[str]) -> None:
        if ticket.shares:
            self._sharing.update(gpus)
        else:
            self._taken.update(gpus)

    def has_room(self, ticket: Ticket, gpu: str) -> bool:
        """Whether the ticket may have this GPU, or a slot of it, as far as jobs are concerned."""
        return gpu not in self._taken and self._sharing[gpu] < (ticket.terms.slots if ticket.shares else 1)


def _takes(ticket: Ticket, machine: Machine, left: _Left, now: float) -> Sequence[str]:
    """The GPUs that this ticket takes, or keeps from those after it: none for one that needs more than there are."""
    free = _free_for(ticket, machine, left)
    if len(free) >= ticket.needs:
        return free[: ticket.needs]
    if _is_late(ticket, now) or len(_wanted(ticket, machine)) < ticket.needs:
        return ()
    return ticket.fixed or free


def _is_late(ticket: Ticket, now: float) -> bool:
    return ticket.since is not None and now - ticket.since >= RESERVES


def lets_pass(ticket: Ticket, now: float) -> bool:
    """Whether one that comes after it stands as good as before all others: it waits for GPUs of its own, or has kept
    others waiting for long enough."""
    return bool(ticket.fixed) or _is_late(ticket, now)


def _free_for(ticket: Ticket, machine: Machine, left: _Left) -> list[str]:
    """The GPUs that this ticket could take now, the one that it prefers first. One that shares goes first to where
    others do already, so that whole GPUs stay free for those who need them."""
    found = [
        gpu.uuid
        for gpu in _wanted(ticket, machine)
        if left.has_room(ticket, gpu.uuid) and _obstacle_for(ticket, gpu, machine) is None
    ]
    return sorted(found, key=lambda uuid: not machine.shared.get(uuid)) if ticket.shares else found


def _obstacle_for(ticket: Ticket, gpu: GpuSample, machine: Machine) -> Wait | None:
    """Why it cannot be taken. What computes on a GPU that jobs share counts as theirs."""
    sharing = machine.shared.get(gpu.uuid, 0)
    if sharing and (not ticket.shares or sharing >= ticket.terms.slots):
        return Wait(f"shared by {sharing} job{'' if sharing == 1 else 's'}")
    terms = replace(ticket.terms, foreign=SHARE) if sharing else ticket.terms
    return obstacle(gpu, machine.leased, terms, machine.looks.get(gpu.uuid, ()), bool(ticket.fixed))


def _wanted(ticket: Ticket, machine: Machine) -> list[GpuSample]:
    """The GPUs in sight that would do, the one that it prefers first."""
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
    leased: Collection[str],
    terms: Terms = Terms(),  # noqa: B008 - frozen
    looks: Sequence[Look] = (),
    named: bool = False,
) -> Wait | None:
    """Why this GPU cannot be taken now on these terms, without its name; None where it is free.

    `looks` are its last ones (see in_use.judge). `named`: the job asks for this very GPU, so it may report nothing.
    """
    if gpu.uuid in leased:
        return Wait("used by a job")
    if gpu.problem:
        return Wait(gpu.problem, foreign=True)
    if terms.ignores_processes(gpu.memory_used):
        return None
    for process in gpu.processes or ():
        if process.computes:
            who = f" ({process.user})" if process.user else ""
            return Wait(f"used by pid {process.pid}{who}", foreign=True)
    use, words = judge(gpu, looks, terms.idle_under)
    if use is Use.FREE or (use is Use.UNKNOWN and named):
        return None
    hint = f"; only --gpu {gpu.index} or foreign: share takes it" if use is Use.UNKNOWN else ""
    return Wait(f"{words}{hint}", foreign=True)


def _named(gpu: GpuSample, found: Wait | None) -> Wait | None:
    """The obstacle as a sentence about its GPU."""
    if found is None:
        return None
    verb = ":" if found.reason == gpu.problem else " is"
    return replace(found, reason=f"GPU {gpu.index}{verb} {found.reason}")


def _fixed_in_use(mine: Ticket, before: Sequence[Ticket], machine: Machine) -> Wait:
    """One of the GPUs that it names is not free."""
    seen = {gpu.uuid: gpu for gpu in machine.gpus}
    for uuid in mine.fixed:
        if uuid not in seen:
            return Wait(f"{uuid} is not in sight", foreign=True)
        if (found := _named(seen[uuid], _obstacle_for(mine, seen[uuid], machine))) is not None:
            return found
    return _jobs_before(sum(ticket.gpu == "auto" or bool({*ticket.fixed} & {*mine.fixed}) for ticket in before))


def _crowded(mine: Ticket, before: Sequence[Ticket], machine: Machine, free: Sequence[str]) -> Wait:
    """Too few GPUs are left for an "auto": because of jobs that come first, or of what sits on the GPUs."""
    wanted = _wanted(mine, machine)
    if len(wanted) < mine.count:
        some = "of the allowed GPUs " if mine.terms.allowed else ""
        return Wait(f"needs {mine.count} GPU{'s' * (mine.count > 1)}; {some}{len(wanted)} in sight", foreign=True)
    if before:
        return _jobs_before(len(before))
    found = [each for gpu in wanted if (each := _named(gpu, _obstacle_for(mine, gpu, machine))) is not None]
    others = next((each for each in found if each.foreign), None)
    if mine.count > 1:
        why = f": {others.reason}" if others else ""
        return Wait(f"needs {mine.count} GPUs at once, {len(free)} free{why}", foreign=others is not None)
    if len(found) == 1:
        return found[0]
    if others is None:
        return Wait(f"all {len(wanted)} GPUs are used by other jobs")
    return Wait(f"no GPU is free: {others.reason}", foreign=True)


def _jobs_before(count: int) -> Wait:
    return Wait("1 job before it" if count == 1 else f"{count} jobs before it", before=count)
