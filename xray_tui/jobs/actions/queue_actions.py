"""Hold, release, move and prioritise waiting jobs. Each action raises BadInput with a one-line message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs.locks.lock_dir import open_lock_dir
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.tickets import Queue, Ticket
from xray_tui.jobs.storage.job_store import JobStore, read_job
from xray_tui.jobs.supervise.recovery import is_ours, require_own
from xray_tui.system import process


def hold(store: JobStore, identity: str) -> Job:
    """Keep a waiting job from starting until it is released."""
    with _under_mutex(store, identity, "hold") as (_, folder, _):
        admission.hold(folder, process.user())
    return store.get(identity)


def release(store: JobStore, identity: str) -> Job:
    """Release a held job, or unblock a job although another job that it depends on did not succeed."""
    with _under_mutex(store, identity, "release") as (job, folder, _):
        if admission.held_by(folder) is not None:
            admission.unhold(folder)
        elif job.state is State.BLOCKED:
            admission.release(folder, process.user())
        else:
            state = "released already" if job.state is State.HELD else f"{job.state}, neither held nor blocked"
            raise BadInput(f"{job.id}: is {state}")
    return store.get(identity)


def move(store: JobStore, identity: str, steps: int) -> Job:
    """Swap a waiting job with this user's previous (-1) or next (1) waiting job, queued, held or blocked. Jobs
    of other users keep their places."""
    store.jobs()  # fills the cache first, so that the mutex is held only briefly
    with _under_mutex(store, identity, "move") as (job, folder, queue):
        mine = queue.ticket_for(job, folder)
        own = _own(store, queue, job)
        place = own.index(mine) + steps
        if not 0 <= place < len(own):
            raise BadInput(f"{mine.job}: is already the {'first' if steps < 0 else 'last'} of your waiting jobs")
        other = own[place]
        _place(store, queue, mine, other.priority, other.number)
        _place(store, queue, other, mine.priority, mine.number)
    return store.get(identity)


def prioritise(store: JobStore, identity: str, priority: int) -> Job:
    """Change the priority of a waiting job: 0 (first) to 99 (last)."""
    if not 0 <= priority <= 99:
        raise BadInput(f"priority: {priority}: give 0 (served first) to 99")
    with _under_mutex(store, identity, "move") as (job, folder, queue):
        mine = queue.ticket_for(job, folder)
        _place(store, queue, mine, priority, mine.number)
    return store.get(identity)


def _own(store: JobStore, queue: Queue, job: Job) -> list[Ticket]:
    """The tickets of the user's waiting jobs, including `job`, in order: those of all queued jobs, and those of the
    held and blocked jobs in the runs folder."""
    own = {ticket.job: ticket for ticket in queue.waiting() if ticket.user == job.user}
    for other in store.jobs():
        folder = store.folder(other.id)
        if other.state.waiting and other.id not in own and other.lease_id == job.lease_id and is_ours(other, folder):
            own[other.id] = queue.ticket_for(other, folder)
    return sorted(ticket for ticket in own.values() if ticket.job == job.id or queue.is_alive(ticket))


def _place(store: JobStore, queue: Queue, ticket: Ticket, priority: int, number: int) -> None:
    """Move a queued, held or blocked job to another place; the caller holds the mutex. Raises OSError."""
    try:
        queue.move(ticket, priority, number)
    except FileNotFoundError:
        admission.keep_place(store.folder(ticket.job), priority, number)


@contextmanager
def _under_mutex(store: JobStore, identity: str, verb: str) -> Iterator[tuple[Job, Path, Queue]]:
    """Hold the mutex of a waiting job's lease folder, so that the job cannot start meanwhile; yields the job as read
    under the mutex, its folder and its queue. Raises BadInput, also for an OSError in the block."""
    job = store.get(identity)
    folder = store.folder(job.id)
    with errors_of_job(job, verb):
        require_own(job, folder, verb)
        leases = open_lock_dir(job.lease_dir, job.lease_id)
        if leases is None:
            raise BadInput(f"{job.id}: its lock folder {clean(job.lease_dir)} is gone")
        with leases.mutex():
            job = read_job(folder)
            if not job.state.waiting:
                raise BadInput(f"{job.id}: is {job.state}; {verb} expects a waiting job")
            yield job, folder, Queue(leases)


@contextmanager
def errors_of_job(job: Job, verb: str) -> Iterator[None]:
    """Raises BadInput for an OSError in the block, and for a ValueError, which means that job.json is damaged."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{job.id}: cannot {verb} the job now: {clean(error.strerror or str(error))}") from error
    except ValueError as error:
        raise BadInput(f"{job.id}: job.json: {clean(str(error))}") from error
