"""Recover jobs whose supervisor died.

Only processes of the job's user, on its host and in its own folder, recover a job. They hold the mutex of the lock
folder and the job's supervisor lock, so that neither another process nor a supervisor changes the job meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.names import END, JOB, LOG, PROGRESS
from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir, open_lock_dir
from xray_tui.jobs.model.job import Job, State, write_job
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.jobs.storage import saved_environment
from xray_tui.jobs.storage.job_store import JobStore, is_at_home, read_job, read_stop
from xray_tui.jobs.supervise import detach, end_hook, engine_process
from xray_tui.jobs.supervise.outcome import conclude, stopped_by
from xray_tui.system import process
from xray_tui.system.safe_files import not_ours, read_small

PATIENCE = 2.0
"""Timeout in seconds for the mutex; callers retry soon."""

LOST_TO_REBOOT = "the machine was restarted"
ORPHAN = "its supervisor is gone, the engine lives"


def recover_orphans(store: JobStore, supervisor: Sequence[str] = detach.SUPERVISOR) -> list[Job]:
    """Recover the jobs whose supervisor died; returns all jobs, newest first.

    A waiting job gets a new supervisor and keeps its ticket; a job that was about to start waits again. If the engine
    is alive, a new supervisor adopts it. Otherwise the engine's end record gives the outcome, or the job is lost.
    """
    for job in store.jobs():
        folder = store.folder(job.id)
        try:
            if is_ours(job, folder) and seems_alone(job):
                judge_alone(folder, supervisor)
        except file_lock.Busy:
            break  # the mutex is busy for the other jobs too; the next call comes soon
        except (OSError, ValueError):
            continue  # a full disk, a damaged job.json
    return store.jobs()


def require_own(job: Job, folder: Path, verb: str) -> None:
    """Raises BadInput if the job belongs to another user, host or runs folder; OSError if that cannot be read."""
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
    """Whether this user may recover the job from this folder. Raises OSError."""
    if job.state.ended or not job.readable or job.host != process.host():
        return False
    return is_at_home(job, folder) and not_ours(folder, JOB) is None


def seems_alone(job: Job) -> bool:
    """Whether the job seems to have no supervisor."""
    lock_dir = open_lock_dir(job.lease_dir, job.lease_id)
    return job.boot != process.boot() or lock_dir is None or not file_lock.is_held(lock_dir.supervised(job.id))


def judge_alone(folder: Path, supervisor: Sequence[str]) -> None:
    """Recover a job that seems to have no supervisor. Raises OSError, and ValueError for a damaged job.json."""
    job = read_job(folder)
    lock_dir = open_lock_dir(job.lease_dir, job.lease_id)
    if lock_dir is not None:
        with lock_dir.mutex(PATIENCE):
            lock = file_lock.try_lock(lock_dir.supervised(job.id))
            if lock is not None:  # no supervisor holds it
                try:
                    _judge_under_lock(lock_dir, folder, lock, supervisor)
                finally:
                    os.close(lock)
    elif job.state.ended:
        return  # another process has just recovered it
    elif job.boot != process.boot():
        _lose_to_reboot(folder, job)
    elif not any(map(process.is_alive, filter(None, (job.supervisor, job.process)))):
        _end(folder, job, State.LOST, f"its lock folder {clean(job.lease_dir)} is gone")


def _judge_under_lock(lock_dir: LockDir, folder: Path, lock: int, supervisor: Sequence[str]) -> None:
    job = read_job(folder)  # read again: the supervisor may have changed it before the lock was taken
    if job.state.ended:
        return
    if job.boot != process.boot():
        Queue(lock_dir).withdraw(job.id)
        _lose_to_reboot(folder, job)
    elif job.state is State.RUNNING or _has_started(lock_dir, folder, job):
        _judge_started(lock_dir, folder, job, lock, supervisor)
    else:
        _judge_waiting(lock_dir, folder, job, lock, supervisor)


def _judge_waiting(lock_dir: LockDir, folder: Path, job: Job, lock: int, supervisor: Sequence[str]) -> None:
    """Recover an unstarted job: end it if it was stopped or its supervisor failed, otherwise start a supervisor."""
    queue = Queue(lock_dir)
    try:
        ticket = queue.ticket_for(job, folder)
    except ValueError as error:
        _end(folder, job, State.LOST, f"{JOB}: {clean(str(error))}")
        return
    if (by := stopped_by(job, folder)) is not None:
        queue.withdraw(job.id)
        _end(folder, job, State.STOPPED, f"stopped by {by}")
    elif words := _last_words(folder):
        queue.withdraw(job.id)
        _end(folder, job, State.FAILED, f"its supervisor failed: {words}")
    else:
        if not job.state.waiting:
            job = replace(job, state=State.QUEUED, gpus=(), started=None, note=None)
            write_job(folder, job)
        if job.state is State.QUEUED and admission.held_by(folder) is None and not job.spec.after:
            queue.put(ticket)  # otherwise the supervisor does this when the job may enter
        detach.start_supervisors([(folder, lock)], supervisor)


def _judge_started(lock_dir: LockDir, folder: Path, job: Job, lock: int, supervisor: Sequence[str]) -> None:
    """Recover a job whose engine was started: let a supervisor adopt a living engine, or record the outcome."""
    if file_lock.is_held(lock_dir.runs(job.id)):
        if job.state is not State.RUNNING or job.note != ORPHAN:
            write_job(folder, replace(job, state=State.RUNNING, note=ORPHAN))
        if read_stop(folder) is not None or not _last_words(folder):  # after a failed adoption the next would fail too
            detach.start_supervisors([(folder, lock)], supervisor)
        return
    cleared = engine_process.clear_away(job.id, None)  # child processes of a killed engine
    _end(folder, conclude(job, folder, None, stopped_by(job, folder), cleared))


def _has_started(lock_dir: LockDir, folder: Path, job: Job) -> bool:
    """Whether the engine of a starting job has left a sign: its lock, a file or a line in the log."""
    if job.state is not State.STARTING:
        return False
    sizes_before = ((folder / PROGRESS, 0), (folder / END, 0), (folder / LOG, job.log_from))
    return file_lock.is_held(lock_dir.runs(job.id)) or any(
        path.exists() and path.stat().st_size > size for path, size in sizes_before
    )


def _last_words(folder: Path) -> str:
    """The last line that a failed supervisor wrote; empty for a supervisor that was killed."""
    try:
        lines = read_small(folder / detach.WORDS).decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return clean(lines[-1])[:200] if lines else ""


def _lose_to_reboot(folder: Path, job: Job) -> None:
    _end(folder, job, State.LOST, f"{LOST_TO_REBOOT} {'before it began' if job.state.waiting else 'while it ran'}")


def _end(folder: Path, job: Job, state: State | None = None, cause: str | None = None) -> None:
    """Record the end of the job in this state; if None, with the outcome that it already has."""
    saved_environment.forget(folder)
    if state is not None:
        job = replace(job, state=state, cause=cause)
    write_job(folder, replace(job, ended=time.time(), waits=None, note=None))
    end_hook.start(folder)
