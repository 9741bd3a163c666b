"""What keeps a job out of the queue though it waits: it is held, another has to end first, or it is not the hour."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.files import write_json
from engine.contract.text import clean
from xray_tui.jobs.model.job import Job, State, parse_object
from xray_tui.system.safe_files import read_small

HOLD, RELEASE, PLACE = "hold.json", "release.json", "place.json"
"""Orders of the owner, in the job's folder: keep it waiting; let it go though what it waits for has failed; the place
that it has in the queue from now on, for a job that is kept out of the queue and so has no ticket to rename."""


@dataclass(frozen=True, slots=True)
class Shut:
    """The gate is shut: in which state the job waits, and why, in words."""

    state: State
    reason: str
    but: tuple[str, ...] = ()
    """GPUs of its user's jobs with a slot left: of these it may take one all the same."""


def gate(job: Job, held_by: str | None, released: bool, others: Sequence[Job], minute: int) -> Shut | None:
    """Why the job has no place in the queue now; None where it has one.

    `others` are the jobs of its runs folder, `minute` is the minute of the day.
    """
    if held_by is not None:
        return Shut(State.HELD, f"held by {held_by}")
    if not released and (shut := _after(job, others)) is not None:
        return shut
    if not job.terms.may_start(minute):
        return Shut(State.QUEUED, f"may start at {job.terms.hours.replace('-', ' to ')}")
    if job.wants != "none":
        return _behind(job, others, minute) or _too_many(job, others)
    return None


def _after(job: Job, others: Sequence[Job]) -> Shut | None:
    """The first parent that keeps it waiting; one that can no longer succeed before all others."""
    known = {other.id: other for other in others} if job.spec.after else {}
    waits: list[Shut] = []
    for identity in job.spec.after:
        parent = known.get(identity)
        if parent is None:
            waits.insert(0, Shut(State.BLOCKED, f"{identity} is gone"))
        elif parent.state.ended and parent.state is not State.SUCCEEDED:
            cause = f" ({parent.cause})" if parent.cause else ""
            waits.insert(0, Shut(State.BLOCKED, f"{parent.spec.kind} {parent.spec.run} {_ended(parent)}{cause}"))
        elif not parent.state.ended:
            waits.append(Shut(State.QUEUED, f"after {parent.spec.kind} {parent.spec.run} ({parent.state})"))
    return waits[0] if waits else None


def _ended(parent: Job) -> str:
    return {State.FAILED: "failed", State.STOPPED: "was stopped"}.get(parent.state, f"is {parent.state}")


def _too_many(job: Job, others: Sequence[Job]) -> Shut | None:
    held = len(held_gpus(job, others))
    if not job.terms.exceeds_max(held, max(job.spec.gpu_count, len(job.wants.split(",")))):
        return None
    reason = f"your jobs hold {held} GPU{'' if held == 1 else 's'}, and max_gpus is {job.terms.max_gpus}"
    return Shut(State.QUEUED, reason, _with_a_slot(job, others))


def _with_a_slot(job: Job, others: Sequence[Job]) -> tuple[str, ...]:
    """The GPUs on which small jobs of its user leave room for this one, as far as these alone are concerned."""
    if not _shares(job):
        return ()
    holders = _holders(job, others)
    return tuple(
        gpu
        for gpu in sorted(held_gpus(job, others))
        if all(map(_shares, on_it := [other for other in holders if gpu in other.gpus]))
        and len(on_it) < job.terms.slots
        and (not job.terms.allowed or gpu in job.terms.allowed)
    )


def _shares(job: Job) -> bool:
    return job.terms.shares(job.wants, job.spec.gpu_count)


def _behind(job: Job, others: Sequence[Job], minute: int) -> Shut | None:
    """An earlier job that only max_gpus keeps out: smaller ones would pass one that needs several for ever."""
    if job.terms.max_gpus is None:
        return None
    at_work = [other for other in others if not other.state.waiting]  # the same for each of hundreds that wait
    for other in others:
        if other.state is State.QUEUED and _is_fellow(other, job) and other.ticket < job.ticket:
            waits = _after(other, others)
            is_let = waits is None or waits.state is State.BLOCKED  # which it is no more: it was released
            if is_let and other.terms.may_start(minute) and other.wants != "none" and _too_many(other, at_work):
                return Shut(State.QUEUED, f"behind {other.spec.kind} {other.spec.run}, which waits by max_gpus")
    return None


def entering(
    job: Job, others: Sequence[Job], queued: Collection[str], folder: Callable[[str], Path], minute: int
) -> Job | None:
    """A job of the same user before this one that may enter the queue as well and has not done so yet; None where there
    is none. `queued` are the ids of the jobs in the queue, `folder` gives a job's folder."""
    for other in others:
        if not other.state.waiting or other.id in queued or not (_is_fellow(other, job) and other.ticket < job.ticket):
            continue
        place = folder(other.id)
        if (other.wants == "none") is (job.wants == "none") and gate(
            other, held_by(place), is_freed(place), others, minute
        ) is None:
            return other
    return None


def held_gpus(job: Job, others: Sequence[Job]) -> frozenset[str]:
    """GPUs that other jobs of its user hold on its machine."""
    return frozenset(gpu for other in _holders(job, others) for gpu in other.gpus)


def _holders(job: Job, others: Sequence[Job]) -> list[Job]:
    return [other for other in others if other.state in (State.STARTING, State.RUNNING) and _is_fellow(other, job)]


def _is_fellow(other: Job, job: Job) -> bool:
    return other.user == job.user and other.host == job.host and other.id != job.id


# The wishes in a job's folder


def hold(folder: Path, by: str) -> None:
    """Wish that the job be kept waiting. Raises OSError."""
    write_json(folder / HOLD, {"by": by, "time": time.time()})


def unhold(folder: Path) -> None:
    """Take that wish back. Raises OSError."""
    (folder / HOLD).unlink(missing_ok=True)


def free(folder: Path, by: str) -> None:
    """Wish that the job no longer wait for others. Raises OSError."""
    write_json(folder / RELEASE, {"by": by, "time": time.time()})


def held_by(folder: Path) -> str | None:
    """Who wants the job to be kept waiting; a file that cannot be read is a wish all the same."""
    try:
        values = parse_object(read_small(folder / HOLD)) or {}
    except OSError:
        return None
    by = values.get("by")
    return clean(by) if isinstance(by, str) and by else "somebody"


def is_freed(folder: Path) -> bool:
    return os.path.lexists(folder / RELEASE)


def keep_place(folder: Path, priority: int, number: int) -> None:
    """Give the job this place for the time when it enters the queue. Raises OSError."""
    write_json(folder / PLACE, {"priority": priority, "number": number})


def kept_place(folder: Path) -> tuple[int, int] | None:
    """The priority and number that the job was given while it was out of the queue."""
    try:
        values = parse_object(read_small(folder / PLACE)) or {}
    except OSError:
        return None
    priority, number = values.get("priority"), values.get("number")
    if isinstance(priority, int) and isinstance(number, int) and 0 <= priority <= 99 and 0 <= number < 10**12:
        return priority, number
    return None


def forget_place(folder: Path) -> None:
    """Remove a place that job.json or the ticket has taken over. Raises OSError."""
    (folder / PLACE).unlink(missing_ok=True)
