"""Who else computes on the GPUs of a job that runs: told, as nobody can keep them away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.model.job import Job
from xray_tui.jobs.supervise.process_owners import owners

EVERY = 60.0
"""Seconds between two looks: each costs a process."""


def strangers(job: Job, snapshot: GpuSnapshot) -> str | None:
    """In words who computes on the job's GPUs beside it; None where nobody does, or that cannot be seen."""
    found = [
        (gpu.index, process)
        for gpu in snapshot.gpus
        if gpu.uuid in job.gpus
        for process in gpu.processes or ()
        if process.computes
    ]
    ours = owners((process.pid for _, process in found), [job])
    others = [
        (index, process) for index, process in found if process.pid not in ours or ours[process.pid].job != job.id
    ]
    if not others:
        return None
    index, first = others[0]
    who = f" ({first.user})" if first.user else ""
    more = f", and {len(others) - 1} more" if len(others) > 1 else ""
    return f"GPU {index} is also used by pid {first.pid}{who}{more}"


class Watchman:
    """Looks now and then, in a thread that nobody waits for: a driver may hang."""

    def __init__(self, snapshot: Callable[[], GpuSnapshot], every: float = EVERY) -> None:
        self._snapshot = snapshot
        self._every = every
        self._due = time.monotonic() + every
        self._thread: threading.Thread | None = None
        self._said: str | None = None

    def ask(self, job: Job) -> str | None:
        """What was seen last."""
        now = time.monotonic()
        if job.gpus and now >= self._due and (self._thread is None or not self._thread.is_alive()):
            self._due = now + self._every
            self._thread = threading.Thread(target=self._look, args=(job,), name="strangers", daemon=True)
            self._thread.start()
        return self._said

    def _look(self, job: Job) -> None:
        snapshot = self._snapshot()
        if snapshot.problem is None and snapshot.stale is None:
            self._said = strangers(job, snapshot)
