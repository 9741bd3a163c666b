"""Admission of waiting jobs to the queue, by holds, dependencies (`after`), allowed hours and max_gpus."""

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
"""Orders of the owner, as files in the job's folder: hold the job; start it although a dependency failed; its new place
in the queue while it is kept out of the queue and so has no ticket to rename."""


@dataclass(frozen=True, slots=True)
class Shut:
    """A job is not admitted: the state in which it waits, and the reason."""

    state: State
    reason: str
    but: tuple[str, ...] = ()
    """GPUs that the job may still take: they are used by jobs of the same user and have a free slot."""


def gate(job: Job, held_by: str | None, released: bool, others: Sequence[Job], minute: int) -> Shut | None:
    """Why the job is not admitted to the queue now; None if it is admitted.

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
    """The first dependency that blocks the job; a dependency that can no longer succeed comes first."""
    by_id = {other.id: other for other in others} if job.spec.after else {}
    waits: list[Shut] = []
    for identity in job.spec.after:
        parent = by_id.get(identity)
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
    count = len(held_gpus(job, others))
    if not job.terms.exceeds_max(count, max(job.spec.gpu_count, len(job.wants.split(",")))):
        return None
    reason = f"your jobs hold {count} GPU{'' if count == 1 else 's'}, and max_gpus is {job.terms.max_gpus}"
    return Shut(State.QUEUED, reason, _with_a_slot(job, others))


def _with_a_slot(job: Job, others: Sequence[Job]) -> tuple[str, ...]:
    """The GPUs on which sharing jobs of the same user leave a slot for this one, ignoring the jobs of other users."""
    if not _shares(job):
        return ()
    holders = _holders(job, others)
    return tuple(
        gpu
        for gpu in sorted(held_gpus(job, others))
        if all(map(_shares, on_gpu := [other for other in holders if gpu in other.gpus]))
        and len(on_gpu) < job.terms.slots
        and (not job.terms.allowed or gpu in job.terms.allowed)
    )


def _shares(job: Job) -> bool:
    return job.terms.shares(job.wants, job.spec.gpu_count)


def _behind(job: Job, others: Sequence[Job], minute: int) -> Shut | None:
    """Wait for an earlier job that only max_gpus keeps out: else smaller jobs would always pass a larger one."""
    if job.terms.max_gpus is None:
        return None
    at_work = [other for other in others if not other.state.waiting]  # once, not for each of hundreds of waiting jobs
    for other in others:
        if other.state is State.QUEUED and _is_fellow(other, job) and other.ticket < job.ticket:
            waits = _after(other, others)
            ready = waits is None or waits.state is State.BLOCKED  # a blocked job is QUEUED only after its release
            if ready and other.terms.may_start(minute) and other.wants != "none" and _too_many(other, at_work):
                return Shut(State.QUEUED, f"after {other.spec.kind} {other.spec.run}, which waits because of max_gpus")
    return None


def entering(
    job: Job, others: Sequence[Job], queued: Collection[str], folder: Callable[[str], Path], minute: int
) -> Job | None:
    """An earlier job of the same user that may enter the queue and has not entered it yet, or None. `queued` are the
    ids of the jobs in the queue; `folder` returns the folder of a job id."""
    for other in others:
        if not other.state.waiting or other.id in queued or not (_is_fellow(other, job) and other.ticket < job.ticket):
            continue
        orders = folder(other.id)
        if (other.wants == "none") is (job.wants == "none") and gate(
            other, held_by(orders), is_freed(orders), others, minute
        ) is None:
            return other
    return None


def held_gpus(job: Job, others: Sequence[Job]) -> frozenset[str]:
    """The GPUs that other jobs of the same user hold on the same machine."""
    return frozenset(gpu for other in _holders(job, others) for gpu in other.gpus)


def _holders(job: Job, others: Sequence[Job]) -> list[Job]:
    return [other for other in others if other.state in (State.STARTING, State.RUNNING) and _is_fellow(other, job)]


def _is_fellow(other: Job, job: Job) -> bool:
    return other.user == job.user and other.host == job.host and other.id != job.id


# The orders in a job's folder


def hold(folder: Path, by: str) -> None:
    """Order the job to wait until `unhold`. Raises OSError."""
    write_json(folder / HOLD, {"by": by, "time": time.time()})


def unhold(folder: Path) -> None:
    """Remove the hold. Raises OSError."""
    (folder / HOLD).unlink(missing_ok=True)


def free(folder: Path, by: str) -> None:
    """Order the job not to wait for its dependencies. Raises OSError."""
    write_json(folder / RELEASE, {"by": by, "time": time.time()})


def held_by(folder: Path) -> str | None:
    """The user who holds the job, or None; an invalid hold.json holds it too."""
    try:
        values = parse_object(read_small(folder / HOLD)) or {}
    except OSError:
        return None
    by = values.get("by")
    return clean(by) if isinstance(by, str) and by else "somebody"


def is_freed(folder: Path) -> bool:
    return os.path.lexists(folder / RELEASE)


def keep_place(folder: Path, priority: int, number: int) -> None:
    """Save the place that the job takes when it enters the queue. Raises OSError."""
    write_json(folder / PLACE, {"priority": priority, "number": number})


def kept_place(folder: Path) -> tuple[int, int] | None:
    """The saved priority and number of a job that was moved while it was out of the queue."""
    try:
        values = parse_object(read_small(folder / PLACE)) or {}
    except OSError:
        return None
    priority, number = values.get("priority"), values.get("number")
    if isinstance(priority, int) and isinstance(number, int) and 0 <= priority <= 99 and 0 <= number < 10**12:
        return priority, number
    return None


def forget_place(folder: Path) -> None:
    """Remove the saved place once job.json or the ticket contains it. Raises OSError."""
    (folder / PLACE).unlink(missing_ok=True)
