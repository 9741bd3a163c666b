"""Who gets which GPU: a pure function of the queue and of one look at the machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from xray_tui.gpu.sample import GpuSample
from xray_tui.jobs.queue import Ticket

IDLE_UNDER = 2 << 30
"""Bytes in use below which a GPU counts as free where its list of processes cannot be read."""

NO_GPU_NOTE = "on the CPU: this machine has no NVIDIA GPU"


@dataclass(frozen=True, slots=True)
class Machine:
    """One look at what there is."""

    gpus: tuple[GpuSample, ...]
    has_driver: bool
    """Whether there is an NVIDIA driver. With one, no GPU in sight is a fault, and "auto" waits for its end."""
    problem: str | None = None
    """Why there are no GPUs, or why nothing newer is known of them."""
    leased: frozenset[str] = frozenset()
    """UUIDs of GPUs that jobs hold, ours or others'."""
    cpu_slots: int = 1
    cpu_free: int = 0

    def on_cpu(self, ticket: Ticket) -> bool:
        """Whether the job runs without a GPU here."""
        return ticket.gpu == "none" or (ticket.gpu == "auto" and not self.gpus and not self.has_driver)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job may start now: these GPUs, none for the CPU."""

    gpus: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a job cannot start yet, in words; `foreign` where only the end of others' processes can help."""

    reason: str
    foreign: bool = False


def allot(alive: Sequence[Ticket], mine: Ticket, machine: Machine) -> Place | Wait:
    """Serve the living tickets in order from what is free, until it is the turn of `mine`, which is among them.

    Each earlier ticket is given what it would take, and a fixed GPU that an earlier one waits for is kept for it.
    """
    if machine.on_cpu(mine):
        return _on_cpu(alive, mine, machine)
    if not machine.gpus or machine.problem:
        return Wait(machine.problem or "no GPU is in sight", foreign=True)
    before = [ticket for ticket in alive if ticket < mine and not machine.on_cpu(ticket)]
    obstacles = {gpu.uuid: _named(gpu, obstacle(gpu, machine.leased)) for gpu in machine.gpus if gpu.uuid}
    free = [uuid for uuid, obstacle in obstacles.items() if obstacle is None]
    for ticket in before:
        taken = free[:1] if ticket.gpu == "auto" else [ticket.gpu]
        free = [uuid for uuid in free if uuid not in taken]
    if mine.gpu == "auto":
        return Place((free[0],)) if free else _crowded(before, obstacles, machine)
    if mine.gpu in free:
        return Place((mine.gpu,))
    if mine.gpu not in obstacles:
        return Wait(f"{mine.gpu} is not in sight", foreign=True)
    return obstacles[mine.gpu] or Wait(_jobs_before(sum(ticket.gpu in ("auto", mine.gpu) for ticket in before)))


def _on_cpu(alive: Sequence[Ticket], mine: Ticket, machine: Machine) -> Place | Wait:
    before = sum(machine.on_cpu(ticket) for ticket in alive if ticket < mine)
    if machine.cpu_free > before:
        return Place((), NO_GPU_NOTE if mine.gpu == "auto" else None)
    if before:
        return Wait(_jobs_before(before))
    slots = machine.cpu_slots
    return Wait("1 job runs on the CPU already" if slots == 1 else f"{slots} jobs run on the CPU already")


def obstacle(gpu: GpuSample, leased: Collection[str]) -> Wait | None:
    """Why this GPU cannot be taken now, without its name; None where it is free."""
    if gpu.uuid in leased:
        return Wait("used by a job")
    if gpu.problem:
        return Wait(gpu.problem, foreign=True)
    if gpu.processes is None:
        if gpu.memory_used is None or gpu.memory_used >= IDLE_UNDER:
            return Wait("perhaps used: its processes cannot be listed", foreign=True)
        return None
    for process in gpu.processes:
        if process.computes:
            who = f" ({process.user})" if process.user else ""
            return Wait(f"used by pid {process.pid}{who}", foreign=True)
    return None


def _named(gpu: GpuSample, found: Wait | None) -> Wait | None:
    """The obstacle as a sentence about its GPU."""
    if found is None:
        return None
    verb = ":" if found.reason == gpu.problem else " is"
    return replace(found, reason=f"GPU {gpu.index}{verb} {found.reason}")


def _crowded(before: Sequence[Ticket], obstacles: dict[str, Wait | None], machine: Machine) -> Wait:
    """No GPU is left for an "auto": because of jobs that come first, or of what sits on the GPUs."""
    if before:
        return Wait(_jobs_before(len(before)))
    found = [each for each in obstacles.values() if each is not None]
    if len(found) == 1:
        return found[0]
    others = next((each for each in found if each.foreign), None)
    if others is None:
        return Wait(f"all {len(machine.gpus)} GPUs are used by other jobs")
    return Wait(f"no GPU is free: {others.reason}", foreign=True)


def _jobs_before(count: int) -> str:
    return "1 job before it" if count == 1 else f"{count} jobs before it"
