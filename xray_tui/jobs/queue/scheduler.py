"""Whether it is a waiting job's turn: the queue, the locks and a look at the GPUs, brought together under the mutex."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from xray_tui.gpu.in_use import extended
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir
from xray_tui.jobs.model.job import Job, State, write_job
from xray_tui.jobs.queue.admission import Shut, forget_place
from xray_tui.jobs.queue.allocation import Machine, Wait, allot, lets_pass
from xray_tui.jobs.queue.tickets import Queue, Ticket

JUST_FREED = 3.0
"""Seconds after the end of a job for which the GPU's utilisation is still that job's: the driver reports an average."""

Lock = Callable[[Path], int | None]


class Take(Protocol):
    """Takes a lock until the end of the look, in one way or another; None where that is not to be had."""

    def __call__(self, path: Path, lock: Lock = ...) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """A job's turn has come: the job as it is starting, and the locks that it holds by now."""

    job: Job
    leases: tuple[int, ...]


class Turnstile:
    """Lets a waiting job through when there is room for it. Remembers what the machine looked like."""

    def __init__(self, lease_dir: LeaseDir, snapshot: Callable[[], GpuSnapshot]) -> None:
        self._dir = lease_dir
        self._queue = Queue(lease_dir)
        self._snapshot = snapshot
        self._machine = Machine(gpus=(), expects_gpus=False)
        self._looked = False
        self._held: dict[str, float] = {}
        """UUIDs of the GPUs that jobs held, and when that was last seen (monotonic)."""
        self.ticket: Ticket | None = None
        """The job's, where it stood when it was last looked at."""

    def push(self, job: Job, folder: Path, shut: Callable[[], Shut | None]) -> Turn | Wait:
        """Whether it is the turn of this waiting job; then job.json says "starting" and its ticket is gone.

        `shut` tells whether the gate is shut, or shut but for some GPUs; it is asked when nobody else can begin, since
        jobs that wait side by side find it open all together. Raises OSError (a full disk, lease.Busy): nothing has
        changed then, but that a job whose job.json cannot be written has stepped out of the queue until the next call:
        with room for it or not, others come before it.
        """
        mine = self.ticket = self._queue.ticket_for(job, folder)
        if (mine.gpu == "none" or self._looked) and (hopeless := self._hopeless(mine, job.cpu_slots)) is not None:
            if not (self._dir.queue / mine.name).exists():  # it stayed out of the queue until now
                with self._dir.mutex():
                    self._come_back(job, folder, shut)
            return hopeless
        if mine.gpu != "none" and not (self._looked and self._machine.on_cpu(mine)):
            self._look_at_gpus()
        with self._dir.mutex():
            return self._push_under_mutex(job, folder, shut)

    def _hopeless(self, mine: Ticket, slots: int) -> Wait | None:
        """Why this job could not start even if no foreign process were there: too many come first, or all is leased.

        Found without the mutex and without a look at the GPUs, both of which hundreds of waiting jobs must not ask for
        each second. It tests no more of the tickets before this one than could fill the machine.
        """
        machine = self._machine
        on_cpu = machine.on_cpu(mine)
        before = [ticket for ticket in self._queue.waiting() if ticket < mine and machine.on_cpu(ticket) is on_cpu]
        alive: list[Ticket] = []
        untested: list[Ticket] = []
        for ticket in before:
            # A second ticket for the same GPUs fills nothing more.
            again = bool(ticket.fixed) and not on_cpu and any(ticket.gpu == other.gpu for other in alive)
            if again or len(alive) >= (slots if on_cpu else len(machine.gpus)):
                untested.append(ticket)
            elif self._queue.is_alive(ticket):
                alive.append(ticket)
        hopeful = Machine(
            gpus=tuple(replace(gpu, processes=(), problem=None, memory_used=0, utilisation=0) for gpu in machine.gpus),
            expects_gpus=machine.expects_gpus,
            leased=self._leased(),
            shared={} if on_cpu else self._shared(),
            cpu_slots=slots,
            cpu_free=slots,
        )
        answer = allot([*alive, mine], mine, hopeful, time.time())
        if not isinstance(answer, Wait) or answer.foreign:
            return None
        said = allot(sorted([*alive, *untested, mine]), mine, hopeful, time.time())
        return said if isinstance(said, Wait) else answer

    def _look_at_gpus(self) -> None:
        from xray_tui.gpu.host_probe import this_machine, waiting_card

        snapshot = self._snapshot()
        problem, has_driver = snapshot.problem or snapshot.stale, this_machine().devices
        card = None if snapshot.gpus or has_driver else waiting_card()
        if card is not None:
            problem = f"no driver has taken the NVIDIA GPU at PCI {card} yet: `sudo modprobe nvidia`; else --gpu none"
        self._looked = True
        looks = self._machine.looks
        self._machine = Machine(snapshot.gpus, expects_gpus=has_driver or card is not None, problem=problem)
        held = self._leased().union(self._shared())
        freed = {uuid for uuid, seen in self._held.items() if time.monotonic() - seen < JUST_FREED}
        settled = (replace(gpu, utilisation=0) if gpu.uuid in freed else gpu for gpu in snapshot.gpus)
        looks = extended(looks, replace(snapshot, gpus=tuple(settled)), held)
        self._machine = replace(self._machine, leased=held, looks=looks)

    def _uuids(self) -> list[str]:
        return [gpu.uuid for gpu in self._machine.gpus if gpu.uuid]

    def _come_back(self, job: Job, folder: Path, shut: Callable[[], Shut | None]) -> None:
        """Under the mutex: give the job its place again, so that others count it and its owner can move it."""
        if not self._is_replaced(job) and shut() is None:
            self._enter(job, folder)

    def _enter(self, job: Job, folder: Path) -> Ticket:
        """Under the mutex: put the job into the queue unless it is there, at its place."""
        mine = self._queue.ticket_for(job, folder)
        self._queue.put(mine)
        forget_place(folder)
        return mine

    def _is_replaced(self, job: Job) -> bool:
        """Whether the lease folder is another than that to which the job was launched."""
        return bool(job.lease_id) and self._dir.identity() != job.lease_id

    def _push_under_mutex(self, job: Job, folder: Path, shut: Callable[[], Shut | None]) -> Turn | Wait:
        """Take every lock that is free, see what the queue leaves for this job, keep that and drop the rest."""
        if self._is_replaced(job):
            return Wait("its lease folder was replaced by another; stop it and launch it again", foreign=True)
        closed = shut()
        if closed is not None and not closed.but:
            return Wait(closed.reason)
        mine = self.ticket = self._enter(job, folder)  # it may have been moved, or a cleaner has removed its ticket
        alive = [ticket for ticket in self._queue.waiting() if ticket == mine or self._queue.is_alive(ticket)]
        with contextlib.ExitStack() as taken:

            def take(path: Path, lock: Lock = file_lock.try_lock) -> int | None:
                descriptor = lock(path)
                if descriptor is not None:
                    taken.callback(os.close, descriptor)
                return descriptor

            on_cpu = self._machine.on_cpu(mine)
            shared = {} if on_cpu else self._shared()
            alone_on = [uuid for uuid in self._uuids() if uuid not in shared and not on_cpu]
            gpus = {uuid: take(self._dir.gpu(uuid)) for uuid in alone_on}
            slots = [take(self._dir.cpu(slot)) for slot in range(job.cpu_slots if on_cpu else 0)]
            free_slots = [slot for slot in slots if slot is not None]
            machine = replace(
                self._machine,
                # What was leased at the look may have been freed since: its sample says nothing of strangers.
                leased=frozenset(uuid for uuid in gpus if gpus[uuid] is None or uuid in self._machine.leased),
                shared=shared,
                cpu_slots=len(slots),
                cpu_free=len(free_slots),
            )
            now = time.time()
            if closed is not None:
                mine = replace(mine, terms=replace(mine.terms, allowed=closed.but))
            place = allot(alive, mine, machine, now)
            if isinstance(place, Wait) and closed is not None:
                self._queue.withdraw(job.id)  # which keeps no GPU from others that max_gpus denies to it
                return Wait(closed.reason, foreign=True)
            if isinstance(place, Wait):
                before = (ticket for ticket in alive if ticket < mine and not machine.on_cpu(ticket))
                if all(lets_pass(ticket, now) for ticket in before):
                    self._queue.reaches_head(mine, now)
                return place
            alone = take(self._dir.runs(job.id))
            if alone is None:
                return Wait("an engine of this job still lives", foreign=True)
            chosen: list[int | None]
            if mine.shares and place.gpus:
                chosen = self._take_slot(place.gpus[0], gpus.get(place.gpus[0]), mine.terms.slots, take)
            else:
                chosen = [gpus[uuid] for uuid in place.gpus] if place.gpus else [*free_slots[:1]]
            if None in chosen:
                return Wait("another process has a lock of its GPU at this moment")
            kept = (alone, *(descriptor for descriptor in chosen if descriptor is not None))
            starting = replace(
                job, state=State.STARTING, waits=None, note=place.note, gpus=place.gpus, started=time.time()
            )
            try:
                write_job(folder, starting)
            except OSError:
                self._queue.withdraw(job.id)
                raise
            self._queue.withdraw(job.id)
            taken.pop_all()
            for descriptor in (*gpus.values(), *slots):
                if descriptor is not None and descriptor not in kept:
                    os.close(descriptor)
            return Turn(starting, kept)

    def _leased(self) -> frozenset[str]:
        """The GPUs that jobs hold alone."""
        found = frozenset(uuid for uuid in self._uuids() if file_lock.is_held(self._dir.gpu(uuid)))
        self._held |= dict.fromkeys(found, time.monotonic())
        return found

    def _shared(self) -> dict[str, int]:
        """How many jobs share each GPU that is shared."""
        found = {}
        for uuid in self._uuids():
            if sharing := sum(map(file_lock.is_held, self._dir.slots(uuid))):
                found[uuid] = sharing
        self._held |= dict.fromkeys(found, time.monotonic())
        return found

    def _take_slot(self, uuid: str, own: int | None, slots: int, take: Take) -> list[int | None]:
        """The GPU's own lock, shared, and that of one of its slots. `own` is the former where nobody shares it yet."""
        if own is None:
            own = take(self._dir.gpu(uuid), file_lock.share)
        else:
            file_lock.make_shared(own)
        free = (slot for number in range(slots) if (slot := take(self._dir.slot(uuid, number))) is not None)
        return [own, next(free, None)]
