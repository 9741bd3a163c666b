"""Jobs that begin again in place: the same id, so that what comes after them still does; its log goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.names import CONFIG, END, LOG, PROGRESS
from engine.contract.text import clean
from xray_tui.jobs import detach, environment, gate, lease, process
from xray_tui.jobs.control import LOST_TO_REBOOT, look, require_own
from xray_tui.jobs.job import Job, State, write_job
from xray_tui.jobs.lease_dir import LeaseDir, find_lease_dir, open_lease_dir
from xray_tui.jobs.queue import Queue, Ticket
from xray_tui.jobs.store import STOP, JobStore, read_job

PATIENCE = 2.0
"""Seconds to wait for the supervisor of a job that has ended."""


def resume(store: JobStore, identity: str, supervisor: Sequence[str] = detach.SUPERVISOR) -> Job:
    """Queue a training that was stopped, has failed or is lost once more; it continues from its last checkpoint.

    Raises BadInput in one line.
    """
    job = store.get(identity)
    if job.spec.kind != "train":
        raise BadInput(f"{job.id}: only a training can be resumed; launch the {job.spec.kind} again")
    if not job.state.ended or job.state is State.SUCCEEDED:
        raise BadInput(
            f"{job.id}: {'has succeeded' if job.state.ended else f'is {job.state}'}; there is nothing to resume"
        )
    return _again(store, job, resumed(job, store.runs), supervisor)


def revive(store: JobStore, supervisor: Sequence[str] = detach.SUPERVISOR) -> list[tuple[Job, str | None]]:
    """After a restart of the machine: queue again what waited then, and resume the trainings that ran, in the order
    in which they stood. Each with the reason why not, or None. Others' jobs are passed over."""
    done: list[tuple[Job, str | None]] = []
    for job in sorted(look(store, supervisor), key=lambda job: (job.ticket, job.created)):
        if job.state is not State.LOST or not (job.cause or "").startswith(LOST_TO_REBOOT):
            continue
        try:
            if job.started is None:
                argv = job.spec.argv
            elif job.spec.kind == "train":
                argv = resumed(job, store.runs)
            else:
                raise BadInput(f"{job.id}: was at work; only a training can be resumed")
            done.append((_again(store, job, argv, supervisor), None))
        except BadInput as error:
            done.append((job, error.lines[0]))
    return done


def resumed(job: Job, runs: Path) -> tuple[str, ...]:
    """The engine's arguments that continue the job's run; those of the launch where it has not come to its config."""
    folder = runs / job.spec.run
    return ("train", "--run", os.fspath(folder), "--resume") if (folder / CONFIG).exists() else job.spec.argv


def _again(store: JobStore, job: Job, argv: tuple[str, ...], supervisor: Sequence[str]) -> Job:
    folder = store.folder(job.id)
    try:
        require_own(job, folder, "resume")
        found = open_lease_dir(job.lease_dir, job.lease_id) or find_lease_dir()
        held = _sole_supervision(found, job)
        try:
            with found.mutex():
                _check_unclaimed(store, job)
                if lease.is_held(found.runs(job.id)):
                    raise BadInput(f"{job.id}: its engine still lives; stop it first")
                now = read_job(folder)
                if not now.state.ended or now.attempt != job.attempt:
                    raise BadInput(f"{job.id}: was resumed by another at this moment")
                _queue(folder, now, argv, found)
            detach.start_supervisor(folder, held, supervisor)
        finally:
            os.close(held)
    except OSError as error:
        raise BadInput(f"{job.id}: cannot be resumed now: {clean(error.strerror or str(error))}") from error
    except ValueError as error:
        raise BadInput(f"{job.id}: job.json: {clean(str(error))}") from error
    return store.get(job.id)


def _sole_supervision(found: LeaseDir, job: Job) -> int:
    """The job's `.sup` lock. A supervisor that has just written the end needs a moment to be gone."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with found.mutex():
            held = lease.try_lock(found.supervised(job.id))
        if held is not None:
            return held
        if time.monotonic() > deadline:
            raise BadInput(f"{job.id}: is looked after by another process at this moment; try again")
        time.sleep(0.02)


def _check_unclaimed(store: JobStore, job: Job) -> None:
    for other in store.jobs():
        if (
            other.spec.kind == "train"
            and not other.state.ended
            and other.spec.run == job.spec.run
            and other.id != job.id
        ):
            raise BadInput(f"{job.spec.run}: claimed by job {other.id} ({other.state}); stop that first")


def _queue(folder: Path, job: Job, argv: tuple[str, ...], found: LeaseDir) -> None:
    """Write the job as one that waits, with a new number, and remove what its last attempt left. Raises OSError."""
    queue = Queue(found)
    for name in (STOP, END, PROGRESS, detach.WORDS):
        (folder / name).unlink(missing_ok=True)
    gate.forget(folder)
    environment.keep(folder)
    spec = replace(job.spec, argv=argv)
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
        supervisor=None,
        process=None,
    )
    _say(folder, again.attempt)
    write_job(folder, again)
    if not spec.after:
        queue.put(ticket)


def _say(folder: Path, attempt: int) -> None:
    """A line in the log, which goes on."""
    with (folder / LOG).open("a") as log:
        log.write(f"-- resumed {time.strftime('%Y-%m-%d %H:%M:%S')}, attempt {attempt}\n")
