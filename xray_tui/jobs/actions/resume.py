"""Resume and revive ended jobs in place. They keep their logs, and their ids, so that dependent jobs stay valid."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.names import CHECKPOINTS, CONFIG, END, LAST, LOG, PROGRESS
from xray_tui.jobs.actions.queue_actions import errors_of_job
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir, find_lock_dir, open_lock_dir
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
"""Seconds to wait until an ended job's supervisor has exited, which can take long on a busy machine."""
_OF_NNUNET = "nnunet/results/*/*/*/checkpoint_*.pth"
"""Pattern of nnU-Net's checkpoints below a run's checkpoints folder."""


def resume(
    store: JobStore,
    identity: str,
    supervisor: Sequence[str] = detach.SUPERVISOR,
    lease_dir: Path | str | None = None,
    environment: Filter = Filter(),  # noqa: B008 - frozen
) -> Job:
    """Queue a stopped, failed or lost training again; it continues from its last checkpoint.

    `lease_dir` is the lease folder of the settings, used if the job's own is gone; `environment` selects the variables
    that the job inherits. Raises BadInput with a one-line message.
    """
    job = store.get(identity)
    if job.readable and job.spec.kind != "train":
        raise BadInput(f"{job.id}: only a training can be resumed; launch the {job.spec.kind} again")
    if not job.state.ended or job.state is State.SUCCEEDED:
        state = "has succeeded" if job.state.ended else f"is {job.state}"
        raise BadInput(f"{job.id}: {state}; there is nothing to resume")
    return _requeue(store, job, supervisor, lease_dir, environment)


def revive(
    store: JobStore,
    supervisor: Sequence[str] = detach.SUPERVISOR,
    lease_dir: Path | str | None = None,
    environment: Filter = Filter(),  # noqa: B008 - frozen
) -> list[tuple[Job, str | None]]:
    """After a reboot, queue the waiting jobs again and resume the interrupted trainings, in order. Held jobs stay held.

    Returns (job, why it was not revived, or None) and skips other users' jobs. The arguments are those of `resume`.
    """
    results: list[tuple[Job, str | None]] = []
    for job in sorted(recover_orphans(store, supervisor), key=lambda job: (job.ticket, job.created)):
        if job.state is not State.LOST or not (job.cause or "").startswith(LOST_TO_REBOOT):
            continue
        try:
            waited = job.started is None
            if not waited and job.spec.kind != "train":
                raise BadInput(f"{job.id}: was running; only a training can be resumed")
            results.append((_requeue(store, job, supervisor, lease_dir, environment, keeps_hold=waited), None))
        except BadInput as error:
            results.append((job, error.lines[0]))
    return results


def start_of(job: Job, runs: Path) -> str:
    """A sentence that says where a resumed training starts: at a checkpoint (ours or nnU-Net's) or at the beginning."""
    checkpoints = runs / job.spec.run / CHECKPOINTS
    if (checkpoints / LAST).exists() or any(checkpoints.glob(_OF_NNUNET)):
        return "it continues from its last checkpoint"
    return "it has no checkpoint and starts from the beginning"


def _requeue(
    store: JobStore,
    job: Job,
    supervisor: Sequence[str],
    lease_dir: Path | str | None,
    environment: Filter,
    keeps_hold: bool = False,
) -> Job:
    """Queue the ended job again and return it; with `keeps_hold` a held job stays held."""
    folder = store.folder(job.id)
    with errors_of_job(job, "resume"):
        require_own(job, folder, "resume")
        leases = open_lock_dir(job.lease_dir, job.lease_id) or find_lock_dir(lease_dir)
        lock = _take_supervisor_lock(leases, job, folder)
        try:
            with leases.mutex():
                others = (other for other in store.jobs() if other.id != job.id)
                if job.spec.kind == "train" and (owner := claim(store, others, job.spec.run)) is not None:
                    raise BadInput(f"{job.spec.run}: claimed by job {owner.id} ({owner.state}); stop that first")
                if file_lock.is_held(leases.runs(job.id)):
                    raise BadInput(f"{job.id}: its engine is still running; stop it first")
                _queue(store, _still_ended(folder, job), leases, environment, keeps_hold)
            detach.start_supervisors([(folder, lock)], supervisor)
        finally:
            os.close(lock)
    return store.get(job.id)


def _still_ended(folder: Path, job: Job) -> Job:
    """Read the job again. Raises BadInput if it was resumed meanwhile."""
    current = read_job(folder)
    if not current.state.ended or current.attempt != job.attempt:
        raise BadInput(f"{job.id}: was resumed by another process meanwhile")
    return current


def _take_supervisor_lock(leases: LockDir, job: Job, folder: Path) -> int:
    """Take the job's supervisor lock. A supervisor that has just ended the job may hold it for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with leases.mutex():
            lock = file_lock.try_lock(leases.supervised(job.id))
        if lock is not None:
            return lock
        _still_ended(folder, job)
        if time.monotonic() > deadline:
            raise BadInput(f"{job.id}: another process supervises it at the moment; try again")
        time.sleep(0.02)


def _queue(store: JobStore, job: Job, leases: LockDir, environment: Filter, keeps_hold: bool) -> None:
    """Write the job as waiting, with a new queue number, and remove the files of its last attempt. Raises OSError."""
    queue, folder = Queue(leases), store.folder(job.id)
    for name in (STOP, END, PROGRESS, detach.WORDS):
        (folder / name).unlink(missing_ok=True)
    if not keeps_hold:
        admission.unhold(folder)  # a released job is not blocked again by the same dependency
    admission.forget_place(folder)
    saved_environment.keep(folder, environment)
    queue.withdraw(job.id)  # its old ticket may still exist after a reboot
    spec = job.spec
    if spec.kind == "train" and (store.runs / spec.run / CONFIG).exists():  # otherwise it keeps its arguments
        spec = replace(spec, request=TrainRequest(runs=os.fspath(store.runs), resume=True).argv(spec.run))
    ticket = Ticket(spec.priority, queue.new_number(), job.id, job.wants, job.user, spec.gpu_count, job.terms)
    with (folder / LOG).open("ab") as log:  # its last line may be a progress bar without a newline
        log.write(f"\n-- resumed {time.strftime('%Y-%m-%d %H:%M:%S')}, attempt {job.attempt + 1}\n".encode())
        log_size = log.tell()
    waiting_job = replace(
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
        lease_dir=os.fspath(leases.path),
        lease_id=leases.identity(),
        ticket=ticket.name,
        attempt=job.attempt + 1,
        log_from=log_size,
        supervisor=None,
        process=None,
    )
    write_job(folder, waiting_job)
    if not spec.after and admission.held_by(folder) is None:  # otherwise its supervisor queues it later
        queue.put(ticket)
