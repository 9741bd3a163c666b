"""Jobs that begin again in place: the same id, so that what comes after them still does; its log goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.names import CHECKPOINTS, CONFIG, END, LAST, LOG, PROGRESS
from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir, find_lease_dir, open_lease_dir
from xray_tui.jobs.model.job import Job, State, write_job
from xray_tui.jobs.model.request import TrainRequest
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.tickets import Queue, Ticket
from xray_tui.jobs.storage import saved_environment
from xray_tui.jobs.storage.job_store import STOP, JobStore, claim, read_job
from xray_tui.jobs.storage.saved_environment import Filter
from xray_tui.jobs.supervise import detach
from xray_tui.jobs.supervise.recovery import LOST_TO_REBOOT, recover_orphans, require_own
from xray_tui.system import process

PATIENCE = 10.0
"""Seconds to wait for the supervisor of a job that has ended: on a busy machine a process takes its time to be gone."""
_OF_NNUNET = "nnunet/results/*/*/*/checkpoint_*.pth"
"""Below a run's checkpoints: those that nnU-Net resumes from."""


def resume(
    store: JobStore,
    identity: str,
    supervisor: Sequence[str] = detach.SUPERVISOR,
    lease_dir: Path | str | None = None,
    given: Filter = Filter(),  # noqa: B008 - frozen
) -> Job:
    """Queue a training that was stopped, has failed or is lost once more; it continues from its last checkpoint.

    `lease_dir`: the settings' one, for a job whose own is gone; `given`: which of this process's variables the job
    gets. Raises BadInput in one line.
    """
    job = store.get(identity)
    if job.readable and job.spec.kind != "train":
        raise BadInput(f"{job.id}: only a training can be resumed; launch the {job.spec.kind} again")
    if not job.state.ended or job.state is State.SUCCEEDED:
        raise BadInput(
            f"{job.id}: {'has succeeded' if job.state.ended else f'is {job.state}'}; there is nothing to resume"
        )
    return _again(store, job, supervisor, lease_dir, given)


def revive(
    store: JobStore,
    supervisor: Sequence[str] = detach.SUPERVISOR,
    lease_dir: Path | str | None = None,
    given: Filter = Filter(),  # noqa: B008 - frozen
) -> list[tuple[Job, str | None]]:
    """After a restart of the machine: queue again what waited then (what was held is held again), and resume the
    trainings that ran, in the order in which they stood. Each with the reason why not, or None. Others' jobs are
    passed over. `lease_dir` and `given` as for resume."""
    done: list[tuple[Job, str | None]] = []
    for job in sorted(recover_orphans(store, supervisor), key=lambda job: (job.ticket, job.created)):
        if job.state is not State.LOST or not (job.cause or "").startswith(LOST_TO_REBOOT):
            continue
        try:
            waited = job.started is None
            if not waited and job.spec.kind != "train":
                raise BadInput(f"{job.id}: was at work; only a training can be resumed")
            done.append((_again(store, job, supervisor, lease_dir, given, keeps_hold=waited), None))
        except BadInput as error:
            done.append((job, error.lines[0]))
    return done


def _resumed(job: Job, runs: Path) -> tuple[str, ...]:
    """The engine's arguments that continue the training; those of the launch where its run has no config yet."""
    if job.spec.kind != "train" or not (runs / job.spec.run / CONFIG).exists():
        return job.spec.argv
    return TrainRequest(runs=os.fspath(runs), resume=True).argv(job.spec.run)


def start_of(job: Job, runs: Path) -> str:
    """Where the training starts when it is resumed, in words: at a checkpoint, ours or nnU-Net's, or the beginning."""
    checkpoints = runs / job.spec.run / CHECKPOINTS
    if (checkpoints / LAST).exists() or any(checkpoints.glob(_OF_NNUNET)):
        return "it continues from its last checkpoint"
    return "it has no checkpoint and starts from the beginning"


def _again(
    store: JobStore,
    job: Job,
    supervisor: Sequence[str],
    lease_dir: Path | str | None = None,
    given: Filter = Filter(),  # noqa: B008 - frozen
    keeps_hold: bool = False,
) -> Job:
    """The job, which has ended, as it waits once more; held if it was and `keeps_hold`."""
    folder = store.folder(job.id)
    try:
        require_own(job, folder, "resume")
        found = open_lease_dir(job.lease_dir, job.lease_id) or find_lease_dir(lease_dir)
        held = _sole_supervision(found, job, folder)
        try:
            with found.mutex():
                _check_unclaimed(store, job)
                if file_lock.is_held(found.runs(job.id)):
                    raise BadInput(f"{job.id}: its engine still lives; stop it first")
                _queue(store, _still_ended(folder, job), found, given, keeps_hold)
            detach.start_supervisors([(folder, held)], supervisor)
        finally:
            os.close(held)
    except OSError as error:
        raise BadInput(f"{job.id}: cannot be resumed now: {clean(error.strerror or str(error))}") from error
    except ValueError as error:
        raise BadInput(f"{job.id}: job.json: {clean(str(error))}") from error
    return store.get(job.id)


def _still_ended(folder: Path, job: Job) -> Job:
    """The job as it is now. Raises BadInput where it has begun again meanwhile."""
    now = read_job(folder)
    if not now.state.ended or now.attempt != job.attempt:
        raise BadInput(f"{job.id}: was resumed by another at this moment")
    return now


def _sole_supervision(found: LeaseDir, job: Job, folder: Path) -> int:
    """The job's `.sup` lock. A supervisor that has just written the end needs a moment to be gone."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with found.mutex():
            held = file_lock.try_lock(found.supervised(job.id))
        if held is not None:
            return held
        _still_ended(folder, job)
        if time.monotonic() > deadline:
            raise BadInput(f"{job.id}: is looked after by another process at this moment; try again")
        time.sleep(0.02)


def _check_unclaimed(store: JobStore, job: Job) -> None:
    if job.spec.kind != "train":
        return
    has = claim(store, (other for other in store.jobs() if other.id != job.id), job.spec.run)
    if has is not None:
        raise BadInput(f"{job.spec.run}: claimed by job {has.id} ({has.state}); stop that first")


def _queue(store: JobStore, job: Job, found: LeaseDir, given: Filter, keeps_hold: bool) -> None:
    """Write the job as one that waits, with a new number, and remove what its last attempt left. Raises OSError."""
    queue, folder = Queue(found), store.folder(job.id)
    for name in (STOP, END, PROGRESS, detach.WORDS):
        (folder / name).unlink(missing_ok=True)
    if not keeps_hold:
        admission.unhold(folder)  # what was released once is not blocked again by the same
    admission.forget_place(folder)
    saved_environment.keep(folder, given)
    queue.withdraw(job.id)  # where it stood before a restart
    spec = replace(job.spec, request=_resumed(job, store.runs))
    ticket = Ticket(spec.priority, queue.new_number(), job.id, job.wants, job.user, spec.gpu_count, job.terms)
    again = replace(
        job,
        spec=spec,
        state=State.QUEUED,
        cause=None,
        note=None,
        waits=None,
        started=None,
        ended=None,
        gpus=(),
        exit_code=None,
        peak_memory=None,
        peak_gpu_memory=None,
        boot=process.boot(),
        lease_dir=os.fspath(found.path),
        lease_id=found.identity(),
        ticket=ticket.name,
        attempt=job.attempt + 1,
        log_from=_say(folder, job.attempt + 1),
        supervisor=None,
        process=None,
    )
    write_job(folder, again)
    if not spec.after and admission.held_by(folder) is None:  # else its supervisor queues it when its time has come
        queue.put(ticket)


def _say(folder: Path, attempt: int) -> int:
    """Write a line into the log, which goes on; where that ends now, in bytes."""
    with (folder / LOG).open("ab+") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 1))
        broken_off = log.read(1) not in (b"", b"\n")  # amid a line, such as a progress bar's
        words = f"-- resumed {time.strftime('%Y-%m-%d %H:%M:%S')}, attempt {attempt}\n"
        log.write(b"\n" * broken_off + words.encode())
        return log.tell()
