"""Recover jobs whose supervisor is gone.

A job is judged only by its own user, on its own host and in its own folder. Whoever judges holds the lease folder's
mutex and the job's `.sup` lock, so no two do it at once and no supervisor is contradicted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.names import END, JOB, LOG, PROGRESS
from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir, open_lease_dir
from xray_tui.jobs.model.job import Job, State, write_job
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.jobs.storage import saved_environment
from xray_tui.jobs.storage.job_store import JobStore, is_at_home, read_job, read_stop
from xray_tui.jobs.supervise import detach, end_hook, engine_process
from xray_tui.jobs.supervise.outcome import judge, last_log_line, read_end
from xray_tui.system import process
from xray_tui.system.safe_files import not_ours, read_small

PATIENCE = 2.0
"""Seconds that a look waits for the mutex; the next look comes soon."""

LOST_TO_REBOOT = "the machine was restarted"
ORPHAN = "its supervisor is gone, the engine lives"


def recover_orphans(store: JobStore, supervisor: Sequence[str] = detach.SUPERVISOR) -> list[Job]:
    """All jobs, newest first, after judging those whose supervisor is gone.

    A waiting one gets a new supervisor with the same ticket, one that was about to start waits again, one whose engine
    lives is given one that adopts it, and for the others the engine's end record decides, or else they are lost.
    """
    for job in store.jobs():
        folder = store.folder(job.id)
        try:
            if is_ours(job, folder) and seems_alone(job):
                judge_alone(folder, supervisor)
        except file_lock.Busy:
            break  # nor would it be free for those that follow: the next look comes soon
        except (OSError, ValueError):
            continue  # a full disk, a damaged job.json
    return store.jobs()


def require_own(job: Job, folder: Path, verb: str) -> None:
    """Raises BadInput in one line where the job is not this user's, or not to be changed from here; and OSError."""
    if not job.readable:
        raise BadInput(f"{job.id}: {job.cause}; cannot {verb} it")
    if job.host != process.host():
        raise BadInput(f"{job.id}: runs on {job.host}; {verb} it there")
    if not is_at_home(job, folder):
        home = clean(str(Path(job.folder).parent.parent))
        raise BadInput(f"{job.id}: is a copy of a job in {home}; {verb} it there")
    if (reason := not_ours(folder, JOB)) is not None:
        raise BadInput(f"{job.id}: is a job of {job.user}; only they can {verb} it ({clean(reason)})")


def is_ours(job: Job, folder: Path) -> bool:
    """Whether this user may judge the job here. Raises OSError."""
    if job.state.ended or not job.readable or job.host != process.host():
        return False
    return is_at_home(job, folder) and not_ours(folder, JOB) is None


def seems_alone(job: Job) -> bool:
    found = open_lease_dir(job.lease_dir, job.lease_id)
    return job.boot != process.boot() or found is None or not file_lock.is_held(found.supervised(job.id))


def judge_alone(folder: Path, supervisor: Sequence[str]) -> None:
    """Judge a job that seems to have no supervisor. Raises OSError, and ValueError for a damaged job.json."""
    job = read_job(folder)
    found = open_lease_dir(job.lease_dir, job.lease_id)
    if found is not None:
        with _sole_supervision(found, job.id) as held:
            if held is not None:
                _judge_under_lock(found, folder, held, supervisor)
    elif job.state.ended:
        return  # somebody else has judged it at this moment
    elif job.boot != process.boot():
        _end(folder, job, State.LOST, _lost_to_reboot(job))
    elif not any(map(process.is_alive, filter(None, (job.supervisor, job.process)))):
        _end(folder, job, State.LOST, f"its lease folder {clean(job.lease_dir)} is gone")


def _judge_under_lock(found: LeaseDir, folder: Path, held: int, supervisor: Sequence[str]) -> None:
    job = read_job(folder)  # as its supervisor left it
    if job.state.ended:
        return
    if job.boot != process.boot():
        Queue(found).withdraw(job.id)
        _end(folder, job, State.LOST, _lost_to_reboot(job))
    elif job.state is State.RUNNING or _has_started(found, folder, job):
        _judge_started(found, folder, job, held, supervisor)
    else:
        _judge_waiting(found, folder, job, held, supervisor)


@contextlib.contextmanager
def _sole_supervision(found: LeaseDir, job: str) -> Iterator[int | None]:
    """The mutex and the job's `.sup` lock for the block; None where somebody supervises it after all."""
    with found.mutex(PATIENCE):
        held = file_lock.try_lock(found.supervised(job))
        try:
            yield held
        finally:
            if held is not None:
                os.close(held)


def _judge_waiting(found: LeaseDir, folder: Path, job: Job, held: int, supervisor: Sequence[str]) -> None:
    """A job that has not begun: stopped where somebody asked for that, else it gets a new supervisor."""
    queue = Queue(found)
    try:
        ticket = queue.ticket_for(job, folder)
    except ValueError as error:
        _end(folder, job, State.LOST, f"{JOB}: {clean(str(error))}")
        return
    if (by := read_stop(folder)) is not None:
        queue.withdraw(job.id)
        _end(folder, job, State.STOPPED, f"stopped by {by.removesuffix(f'@{job.host}')}")
    elif words := _last_words(folder):
        queue.withdraw(job.id)
        _end(folder, job, State.FAILED, f"its supervisor failed: {words}")
    else:
        if not job.state.waiting:
            job = replace(job, state=State.QUEUED, gpus=(), started=None, note=None)
            write_job(folder, job)
        if job.state is State.QUEUED and admission.held_by(folder) is None and not job.spec.after:
            queue.put(ticket)  # else its supervisor does that when its time has come
        detach.start_supervisors([(folder, held)], supervisor)


def _judge_started(found: LeaseDir, folder: Path, job: Job, held: int, supervisor: Sequence[str]) -> None:
    """A job whose engine was started: it lives still, or has left a record of its end, or is lost."""
    if file_lock.is_held(found.runs(job.id)):
        if job.state is not State.RUNNING or job.note != ORPHAN:
            write_job(folder, replace(job, state=State.RUNNING, note=ORPHAN))
        if read_stop(folder) is not None or not _last_words(folder):  # who failed to adopt it would fail again
            detach.start_supervisors([(folder, held)], supervisor)
        return
    cleared = engine_process.clear_away(job.id, None)  # what an engine that was killed has left behind
    end = read_end(folder)
    by = read_stop(folder)
    last_line = last_log_line(folder, job.log_from)
    verdict = judge(None, end, by and by.removesuffix(f"@{job.host}"), last_line, job.writes_end)
    if end is not None:
        job = replace(job, peak_memory=end.peak_memory, peak_gpu_memory=end.peak_gpu_memory)
    cause = verdict.cause if cleared else f"{verdict.cause or verdict.state}; a process of it does not die"
    _end(folder, replace(job, exit_code=verdict.exit_code), verdict.state, cause)


def _has_started(found: LeaseDir, folder: Path, job: Job) -> bool:
    """Whether a job that was starting shows a sign of its engine."""
    if job.state is not State.STARTING:
        return False
    signs = ((folder / PROGRESS, 0), (folder / END, 0), (folder / LOG, job.log_from))
    return file_lock.is_held(found.runs(job.id)) or any(
        sign.exists() and sign.stat().st_size > before for sign, before in signs
    )


def _last_words(folder: Path) -> str:
    """The last line of what a supervisor said that failed; empty for one that was killed."""
    try:
        lines = read_small(folder / detach.WORDS).decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return clean(lines[-1])[:200] if lines else ""


def _lost_to_reboot(job: Job) -> str:
    return f"{LOST_TO_REBOOT} " + ("before it began" if job.state.waiting else "while it ran")


def _end(folder: Path, job: Job, state: State, cause: str | None) -> None:
    saved_environment.forget(folder)
    write_job(folder, replace(job, state=state, cause=cause, ended=time.time(), waits=None, note=None))
    end_hook.start(folder)
