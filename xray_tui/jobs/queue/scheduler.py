"""Decide whether a waiting job may start, from the queue, the locks and a sample of the GPUs, under the mutex."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from xray_tui.gpu.in_use import extended
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, State, write_job
from xray_tui.jobs.queue.admission import Blocked, forget_place
from xray_tui.jobs.queue.allocation import Machine, Wait, allot, lets_pass
from xray_tui.jobs.queue.tickets import Queue, Ticket

JUST_FREED = 3.0
"""Seconds after the end of a job for which its GPU's utilisation is ignored: the driver reports a moving average."""

Hold = Callable[[int | None], int | None]
"""Holds a lock until the end of the attempt; returns its argument: the descriptor, or None if the lock is not free."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A job that may start: the job in state STARTING and the descriptors of its locks."""

    job: Job
    locks: tuple[int, ...]


class Scheduler:
    """Starts a waiting job once its turn has come; keeps the last GPU samples between attempts."""

    def __init__(self, lock_dir: LockDir, snapshot: Callable[[], GpuSnapshot]) -> None:
        self._dir = lock_dir
        self._queue = Queue(lock_dir)
        self._snapshot = snapshot
        self._machine = Machine(gpus=(), expects_gpus=False)
        self._sampled = False
        self._held: dict[str, float] = {}
        """When a job was last seen on each GPU (monotonic), by UUID."""
        self.ticket: Ticket | None = None
        """The job's ticket in the last attempt."""

    def try_start(self, job: Job, folder: Path, check: Callable[[], Blocked | None]) -> Turn | Wait:
        """Try to start the job; after a Turn, job.json says "starting" and the ticket is withdrawn.

        `check` returns why the job is not admitted. It is called under the mutex, because otherwise jobs that check at
        the same time would all be admitted. Raises OSError (a full disk, file_lock.Busy), after which nothing has
        changed, with one exception: if job.json could not be written, the job leaves the queue until the next call, so
        that it does not block other jobs.
        """
        mine = self.ticket = self._queue.ticket_for(job, folder)
        if (mine.gpu == "none" or self._sampled) and (hopeless := self._hopeless(mine, job.cpu_slots)) is not None:
            if not (self._dir.queue / mine.name).exists():  # it was kept out of the queue before
                with self._dir.mutex():
                    if not self._is_replaced(job) and check() is None:
                        self._enter(job, folder)  # so that other jobs count it and its owner can move it
            return hopeless
        if mine.gpu != "none" and not (self._sampled and self._machine.on_cpu(mine)):
            self._sample_gpus()
        with self._dir.mutex(), contextlib.ExitStack() as held:
            return self._start_under_mutex(job, folder, check, held)

    def _hopeless(self, mine: Ticket, slots: int) -> Wait | None:
        """Why the job cannot start even without foreign processes: too many earlier jobs, or no free lock.

        Hundreds of waiting jobs may call it every second, so it uses neither the mutex nor a GPU sample, and checks
        only as many of the earlier tickets as could fill the machine.
        """
        machine = self._machine
        on_cpu = machine.on_cpu(mine)
        before = [ticket for ticket in self._queue.waiting() if ticket < mine and machine.on_cpu(ticket) is on_cpu]
        alive: list[Ticket] = []
        untested: list[Ticket] = []
        for ticket in before:
            # A second ticket for the same GPUs fills no further GPU.
            repeated = bool(ticket.fixed) and not on_cpu and any(ticket.gpu == other.gpu for other in alive)
            if repeated or len(alive) >= (slots if on_cpu else len(machine.gpus)):
                untested.append(ticket)
            elif self._queue.is_alive(ticket):
                alive.append(ticket)
        idle_machine = Machine(
            gpus=tuple(replace(gpu, processes=(), problem=None, memory_used=0, utilisation=0) for gpu in machine.gpus),
            expects_gpus=machine.expects_gpus,
            held=self._held_gpus(),
            shared={} if on_cpu else self._shared(),
            cpu_slots=slots,
            cpu_free=slots,
        )
        wait = allot([*alive, mine], mine, idle_machine, time.time())
        if not isinstance(wait, Wait) or wait.foreign:
            return None
        exact = allot(sorted([*alive, *untested, mine]), mine, idle_machine, time.time())
        return exact if isinstance(exact, Wait) else wait

    def _sample_gpus(self) -> None:
        from xray_tui.gpu.host_probe import driver_files, waiting_card

        snapshot = self._snapshot()
        problem, has_driver = snapshot.problem or snapshot.stale, driver_files().devices
        card = None if snapshot.gpus or has_driver else waiting_card()
        if card is not None:
            problem = f"no driver is loaded for the NVIDIA GPU at PCI {card}: `sudo modprobe nvidia`, or use --gpu none"
        self._sampled = True
        samples = self._machine.samples
        self._machine = Machine(snapshot.gpus, expects_gpus=has_driver or card is not None, problem=problem)
        held = self._held_gpus().union(self._shared())
        freed = {uuid for uuid, seen in self._held.items() if time.monotonic() - seen < JUST_FREED}
        settled = (replace(gpu, utilisation=0) if gpu.uuid in freed else gpu for gpu in snapshot.gpus)
        samples = extended(samples, replace(snapshot, gpus=tuple(settled)), held)
        self._machine = replace(self._machine, held=held, samples=samples)

    def _uuids(self) -> list[str]:
        return [gpu.uuid for gpu in self._machine.gpus if gpu.uuid]

    def _enter(self, job: Job, folder: Path) -> Ticket:
        """Under the mutex: put the job into the queue at its place, unless it is queued already."""
        mine = self._queue.ticket_for(job, folder)
        self._queue.put(mine)
        forget_place(folder)
        return mine

    def _is_replaced(self, job: Job) -> bool:
        """Whether the lock folder was replaced since the launch of the job."""
        return bool(job.lease_id) and self._dir.identity() != job.lease_id

    def _start_under_mutex(
        self, job: Job, folder: Path, check: Callable[[], Blocked | None], held: contextlib.ExitStack
    ) -> Turn | Wait:
        """Take all free locks, allocate GPUs to the job, keep their locks and release the others."""
        if self._is_replaced(job):
            return Wait("its lock folder was replaced; stop the job and launch it again", foreign=True)
        blocked = check()
        if blocked is not None and not blocked.allowed_gpus:
            return Wait(blocked.reason)

        def hold(lock: int | None) -> int | None:
            if lock is not None:
                held.callback(os.close, lock)
            return lock

        mine = self.ticket = self._enter(job, folder)  # its owner may have moved it, or a cleaner deleted its ticket
        alive = [ticket for ticket in self._queue.waiting() if ticket == mine or self._queue.is_alive(ticket)]
        on_cpu = self._machine.on_cpu(mine)
        shared = {} if on_cpu else self._shared()
        alone_on = [uuid for uuid in self._uuids() if uuid not in shared and not on_cpu]
        gpus = {uuid: hold(file_lock.try_lock(self._dir.gpu(uuid))) for uuid in alone_on}
        slots = [hold(file_lock.try_lock(self._dir.cpu(slot))) for slot in range(job.cpu_slots if on_cpu else 0)]
        free_slots = [slot for slot in slots if slot is not None]
        machine = replace(
            self._machine,
            # A GPU that a job held in the sample may be free now, but its sample hides foreign processes.
            held=frozenset(uuid for uuid in gpus if gpus[uuid] is None or uuid in self._machine.held),
            shared=shared,
            cpu_slots=len(slots),
            cpu_free=len(free_slots),
        )
        now = time.time()
        if blocked is not None:
            mine = replace(mine, terms=replace(mine.terms, allowed=blocked.allowed_gpus))
        place = allot(alive, mine, machine, now)
        if isinstance(place, Wait) and blocked is not None:
            self._queue.withdraw(job.id)  # so that it reserves no GPU that max_gpus denies to it
            return Wait(blocked.reason, foreign=True)
        if isinstance(place, Wait):
            before = (ticket for ticket in alive if ticket < mine and not machine.on_cpu(ticket))
            if all(lets_pass(ticket, now) for ticket in before):
                self._queue.reaches_head(mine, now)
            return place
        engine_lock = hold(file_lock.try_lock(self._dir.runs(job.id)))
        if engine_lock is None:
            return Wait("an engine of this job is still running", foreign=True)
        if mine.shares and place.gpus:
            chosen = self._take_slot(place.gpus[0], gpus.get(place.gpus[0]), mine.terms.slots, hold)
        else:
            chosen = [gpus[uuid] for uuid in place.gpus] if place.gpus else [*free_slots[:1]]
        locks = (engine_lock, *(lock for lock in chosen if lock is not None))
        if None in chosen:
            return Wait("another process holds a lock of its GPU")
        starting = replace(job, state=State.STARTING, waits=None, note=place.note, gpus=place.gpus, started=time.time())
        try:
            write_job(folder, starting)
        finally:
            self._queue.withdraw(job.id)
        held.pop_all()
        for lock in (*gpus.values(), *slots):
            if lock is not None and lock not in locks:
                os.close(lock)
        return Turn(starting, locks)

    def _held_gpus(self) -> frozenset[str]:
        """The GPUs that jobs hold exclusively."""
        uuids = frozenset(uuid for uuid in self._uuids() if file_lock.is_held(self._dir.gpu(uuid)))
        self._held |= dict.fromkeys(uuids, time.monotonic())
        return uuids

    def _shared(self) -> dict[str, int]:
        """The number of jobs on each shared GPU, by UUID."""
        counts = {}
        for uuid in self._uuids():
            if count := sum(map(file_lock.is_held, self._dir.slots(uuid))):
                counts[uuid] = count
        self._held |= dict.fromkeys(counts, time.monotonic())
        return counts

    def _take_slot(self, uuid: str, gpu_lock: int | None, slots: int, hold: Hold) -> list[int | None]:
        """The GPU's lock, taken as a shared lock, and the lock of a free slot; None for a lock that is not free.
        `gpu_lock` is the GPU's lock if this process holds it exclusively, because no job shares the GPU yet."""
        if gpu_lock is None:
            gpu_lock = hold(file_lock.share(self._dir.gpu(uuid)))
        else:
            file_lock.make_shared(gpu_lock)
        free = (lock for path in self._dir.slots(uuid)[:slots] if (lock := hold(file_lock.try_lock(path))) is not None)
        return [gpu_lock, next(free, None)]
