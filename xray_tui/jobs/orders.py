"""What the owner orders of a job that waits: to be held, to be let go, to stand elsewhere in the queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs import gate, process
from xray_tui.jobs.control import require_own
from xray_tui.jobs.job import Job, State
from xray_tui.jobs.lease_dir import LeaseDir, open_lease_dir
from xray_tui.jobs.queue import Queue, Ticket
from xray_tui.jobs.store import JobStore, read_job


def hold(store: JobStore, identity: str) -> Job:
    """Keep a waiting job waiting; once this returns it does not begin. Raises BadInput in one line."""

    def order(folder: Path, found: LeaseDir) -> None:
        job = read_job(folder)
        if not job.state.waiting:
            raise BadInput(f"{job.id}: {_has(job)}, and only a waiting job can be held; stop it instead")
        gate.hold(folder, process.user())

    return _under_mutex(store, identity, "hold", order)


def release(store: JobStore, identity: str) -> Job:
    """Let a held job into the queue, or one that is blocked begin though another did not succeed. Raises BadInput."""

    def order(folder: Path, found: LeaseDir) -> None:
        job = read_job(folder)
        if gate.held_by(folder) is not None and job.state.waiting:
            gate.unhold(folder)
        elif job.state is State.BLOCKED:
            gate.free(folder, process.user())
        else:
            raise BadInput(f"{job.id}: is neither held nor blocked ({job.state})")

    return _under_mutex(store, identity, "release", order)


def move(store: JobStore, identity: str, steps: int) -> Job:
    """Let a queued job change places with the next of this user's jobs before (-1) or behind it (1). Jobs of others
    keep their places. Raises BadInput."""

    def order(folder: Path, found: LeaseDir) -> None:
        queue = Queue(found)
        mine = _ticket(queue, read_job(folder))
        own = [ticket for ticket in queue.waiting() if ticket.user == mine.user and queue.is_alive(ticket)]
        place = [ticket.job for ticket in own].index(mine.job) + steps
        if not 0 <= place < len(own):
            raise BadInput(f"{mine.job}: is the {'first' if steps < 0 else 'last'} of your jobs in the queue already")
        other = own[place]
        queue.move(mine, other.priority, other.number)
        queue.move(other, mine.priority, mine.number)

    return _under_mutex(store, identity, "move", order)


def prioritise(store: JobStore, identity: str, priority: int) -> Job:
    """Give a queued job another priority: 0 is served first, 99 last. Raises BadInput."""
    if not 0 <= priority <= 99:
        raise BadInput(f"priority: {priority}: give 0 (served first) to 99")

    def order(folder: Path, found: LeaseDir) -> None:
        queue = Queue(found)
        mine = _ticket(queue, read_job(folder))
        queue.move(mine, priority, mine.number)

    return _under_mutex(store, identity, "move", order)


def _ticket(queue: Queue, job: Job) -> Ticket:
    for ticket in queue.waiting():
        if ticket.job == job.id:
            return ticket
    why = job.waits if job.state.waiting and job.waits else _has(job)
    raise BadInput(f"{job.id}: has no place in the queue now ({clean(why)})")


def _has(job: Job) -> str:
    return f"has ended ({job.state})" if job.state.ended else f"is {job.state}"


def _under_mutex(store: JobStore, identity: str, verb: str, order: Callable[[Path, LeaseDir], None]) -> Job:
    """Do it under the mutex of the job's lease folder, so that it does not begin meanwhile."""
    job = store.get(identity)
    folder = store.folder(job.id)
    try:
        require_own(job, folder, verb)
        found = open_lease_dir(job.lease_dir, job.lease_id)
        if found is None:
            raise BadInput(f"{job.id}: its lease folder {clean(job.lease_dir)} is gone")
        with found.mutex():
            order(folder, found)
    except OSError as error:
        raise BadInput(f"{job.id}: cannot {verb} it now: {clean(error.strerror or str(error))}") from error
    except ValueError as error:
        raise BadInput(f"{job.id}: job.json: {clean(str(error))}") from error
    return store.get(job.id)
