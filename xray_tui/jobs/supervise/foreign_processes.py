"""Foreign processes on the GPUs of a running job. They are reported, because they cannot be kept away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.model.job import Job
from xray_tui.jobs.supervise.process_owners import owners

EVERY = 60.0
"""Interval in seconds; each sample of the GPUs starts a process."""


def strangers(job: Job, snapshot: GpuSnapshot) -> str | None:
    """A note about other processes that compute on the job's GPUs; None without any, or if they cannot be seen."""
    processes = [
        (gpu.index, process)
        for gpu in snapshot.gpus
        if gpu.uuid in job.gpus
        for process in gpu.processes or ()
        if process.computes
    ]
    by_pid = owners((process.pid for _, process in processes), [job])
    ours = {pid for pid, owner in by_pid.items() if owner.job == job.id}
    foreign = [(index, process) for index, process in processes if process.pid not in ours]
    if not foreign:
        return None
    index, first = foreign[0]
    user = f" ({first.user})" if first.user else ""
    more = f", and {len(foreign) - 1} more" if len(foreign) > 1 else ""
    return f"GPU {index} is also used by pid {first.pid}{user}{more}"


class Watchman:
    """Samples the GPUs at an interval in a background thread, because a driver may hang."""

    def __init__(self, snapshot: Callable[[], GpuSnapshot], every: float = EVERY) -> None:
        self._snapshot = snapshot
        self._every = every
        self._due = time.monotonic() + every
        self._thread: threading.Thread | None = None
        self._note: str | None = None

    def ask(self, job: Job) -> str | None:
        """The note of the last sample. Starts the next sample if it is due."""
        now = time.monotonic()
        if job.gpus and now >= self._due and (self._thread is None or not self._thread.is_alive()):
            self._due = now + self._every
            self._thread = threading.Thread(target=self._look, args=(job,), name="strangers", daemon=True)
            self._thread.start()
        return self._note

    def _look(self, job: Job) -> None:
        snapshot = self._snapshot()
        if snapshot.problem is None and snapshot.stale is None:
            self._note = strangers(job, snapshot)
