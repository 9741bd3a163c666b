"""Admission of waiting jobs to the queue, by holds, dependencies (`after`), allowed hours and max_gpus."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.files import write_json
from engine.contract.text import clean
from xray_tui.jobs.model.job import Job, State, parse_object
from xray_tui.jobs.storage.job_store import HOLD, RELEASE
from xray_tui.system.safe_files import read_small

PLACE = "place.json"
"""Its new place in the queue, while a moved job has no ticket."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a job is not admitted, and the state in which it waits."""

    state: State
    reason: str
    allowed_gpus: tuple[str, ...] = ()
    """GPUs that the job may still take: they are used by jobs of the same user and have a free slot."""
    polls: int = 2
    """Poll interval, as a multiple of that of a queued job."""


def check_admission(
    job: Job, held_by: str | None, released: bool, others: Sequence[Job], minute: int
) -> Blocked | None:
    """Why the job is not admitted to the queue now; None if it is admitted. `others` are the jobs of its runs folder,
    `minute` is the minute of the day."""
    if held_by is not None:
        return Blocked(State.HELD, f"held by {held_by}")
    if not released and (blocked := _check_dependencies(job, others)) is not None:
        return blocked
    if not job.terms.may_start(minute):
        return Blocked(State.QUEUED, f"may start at {job.terms.hours.replace('-', ' to ')}")
    if job.wants != "none":
        return _check_earlier_jobs(job, others, minute) or _check_max_gpus(job, others)
    return None


def _check_dependencies(job: Job, others: Sequence[Job]) -> Blocked | None:
    """How the job's dependencies block it, or None; a dependency that can no longer succeed takes precedence."""
    by_id = {other.id: other for other in others} if job.spec.after else {}
    running = None
    for identity in job.spec.after:
        if (parent := by_id.get(identity)) is None:
            return Blocked(State.BLOCKED, f"{identity} is gone")
        name = f"{parent.spec.kind} {parent.spec.run}"
        if parent.state.ended and parent.state is not State.SUCCEEDED:
            cause = f" ({parent.cause})" if parent.cause else ""
            ended = {State.FAILED: "failed", State.STOPPED: "was stopped"}.get(parent.state, f"is {parent.state}")
            return Blocked(State.BLOCKED, f"{name} {ended}{cause}")
        if not parent.state.ended:
            running = running or Blocked(State.QUEUED, f"after {name} ({parent.state})")
    return running


def _check_max_gpus(job: Job, others: Sequence[Job]) -> Blocked | None:
    """Why max_gpus keeps the job out, except from free slots on GPUs of the user's other sharing jobs, or None."""
    holders = [other for other in others if other.state in (State.STARTING, State.RUNNING) and _is_fellow(other, job)]
    held = sorted({gpu for other in holders for gpu in other.gpus})
    if not job.terms.exceeds_max(len(held), max(job.spec.gpu_count, len(job.wants.split(",")))):
        return None
    allowed = []
    for gpu in held if _shares(job) else ():
        on_gpu = [other for other in holders if gpu in other.gpus]
        if all(map(_shares, on_gpu)) and len(on_gpu) < job.terms.slots and gpu in (job.terms.allowed or held):
            allowed.append(gpu)
    reason = f"your jobs hold {len(held)} GPU{'s' * (len(held) > 1)}, and max_gpus is {job.terms.max_gpus}"
    return Blocked(State.QUEUED, reason, tuple(allowed))


def _shares(job: Job) -> bool:
    return job.terms.shares(job.wants, job.spec.gpu_count)


def _check_earlier_jobs(job: Job, others: Sequence[Job], minute: int) -> Blocked | None:
    """Wait for an earlier job that only max_gpus keeps out; otherwise smaller jobs would always pass a larger one."""
    if job.terms.max_gpus is None:
        return None
    at_work = [other for other in others if not other.state.waiting]  # once, not for each of hundreds of waiting jobs
    for other in others:
        if other.state is State.QUEUED and is_earlier(other, job) and other.wants != "none":
            blocked = _check_dependencies(other, others)
            ready = blocked is None or blocked.state is State.BLOCKED  # BLOCKED, yet queued: it was released
            if ready and other.terms.may_start(minute) and _check_max_gpus(other, at_work):
                reason = f"after {other.spec.kind} {other.spec.run}, which waits because of max_gpus"
                return Blocked(State.QUEUED, reason, polls=5)  # each poll compares it with all other jobs
    return None


def _is_fellow(other: Job, job: Job) -> bool:
    return other.user == job.user and other.host == job.host and other.id != job.id


def is_earlier(other: Job, job: Job) -> bool:
    return _is_fellow(other, job) and other.ticket < job.ticket


# The orders in a job's folder


def hold(folder: Path, by: str) -> None:
    """Order the job to wait until `unhold`. Raises OSError."""
    write_json(folder / HOLD, {"by": by, "time": time.time()})


def unhold(folder: Path) -> None:
    """Remove the hold. Raises OSError."""
    (folder / HOLD).unlink(missing_ok=True)


def release(folder: Path, by: str) -> None:
    """Order the job not to wait for its dependencies. Raises OSError."""
    write_json(folder / RELEASE, {"by": by, "time": time.time()})


def held_by(folder: Path) -> str | None:
    """The user who holds the job, or None; an invalid hold.json holds it too."""
    try:
        values = parse_object(read_small(folder / HOLD))
    except OSError:
        return None
    by = values.get("by")
    return clean(by) if isinstance(by, str) and by else "somebody"


def is_released(folder: Path) -> bool:
    return os.path.lexists(folder / RELEASE)


def keep_place(folder: Path, priority: int, number: int) -> None:
    """Save the place that the job takes when it enters the queue. Raises OSError."""
    write_json(folder / PLACE, {"priority": priority, "number": number})


def kept_place(folder: Path) -> tuple[int, int] | None:
    """The saved priority and number of a job that was moved while it was out of the queue."""
    try:
        values = parse_object(read_small(folder / PLACE))
    except OSError:
        return None
    priority, number = values.get("priority"), values.get("number")
    if isinstance(priority, int) and isinstance(number, int) and 0 <= priority <= 99 and 0 <= number < 10**12:
        return priority, number
    return None


def forget_place(folder: Path) -> None:
    """Remove the saved place once job.json or the ticket contains it. Raises OSError."""
    (folder / PLACE).unlink(missing_ok=True)
