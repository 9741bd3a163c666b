"""Stop a waiting or running job."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

from engine.contract.errors import BadInput
from xray_tui.jobs.actions.queue_actions import errors_of_job
from xray_tui.jobs.model.job import Job
from xray_tui.jobs.storage.job_store import JobStore, write_stop
from xray_tui.jobs.supervise import detach
from xray_tui.jobs.supervise.recovery import judge_alone, require_own, seems_alone
from xray_tui.system import process


def stop(store: JobStore, identity: str, by: str | None = None, supervisor: Sequence[str] = detach.SUPERVISOR) -> Job:
    """Request a stop without waiting for it. `by` is the user who asks, as "alice@host"; None means the current user.

    A waiting job ends; a running engine gets SIGTERM and after the job's grace period SIGKILL. Raises BadInput if the
    job has ended, or belongs to another user or host.
    """
    job = store.get(identity)
    folder = store.folder(job.id)
    if job.readable and job.state.ended:
        raise BadInput(f"{job.id}: has already ended ({job.state})")
    with errors_of_job(job, "stop"):
        require_own(job, folder, "stop")
        try:
            write_stop(folder, by or f"{process.user()}@{process.host()}", time.time())
        except OSError:  # on a full disk a stop must still work: the signal suffices, but lacks the user's name
            if _ask_supervisor(job):
                return job
            raise
        if seems_alone(job):
            judge_alone(folder, supervisor)
    job = store.get(job.id)
    if not job.state.ended:
        _ask_supervisor(job)  # faster than the supervisor's next look at stop.json
    return job


def _ask_supervisor(job: Job) -> bool:
    """Signal the job's supervisor to stop the job. Return False if there is no supervisor."""
    if job.supervisor is None or not process.send(job.supervisor, signal.SIGTERM):
        return False
    process.send(job.supervisor, signal.SIGCONT)
    return True
