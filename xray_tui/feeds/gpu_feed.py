"""The GPU feed delivers each sample with a minute of history, the jobs of its processes, and which GPUs are free."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xray_tui.gpu import in_use
from xray_tui.gpu.history import History, extended
from xray_tui.gpu.sampler import Sampler
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.system.retry import Report, Retry

if TYPE_CHECKING:
    from xray_tui.feeds.stall_detector import StallDetector
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.supervise.process_owners import Owner

VISIBLE_INTERVAL, HIDDEN_INTERVAL = 1.0, 5.0
"""Sampling interval in seconds while the GPUs are visible, and while another screen covers them."""

JUDGE_INTERVAL = 2.0
"""Seconds between two checks of process owners and held GPU locks; the driver lists processes as often. New or ended
processes are checked at once, so that our own never appear as foreign."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """A sample of the GPUs, with the values that the app derives from it."""

    snapshot: GpuSnapshot
    history: History = field(default_factory=dict)
    owners: Mapping[int, Owner] = field(default_factory=dict)
    """Maps pids to the run and the job of the process. Processes that are missing belong to no known run."""
    availability: Mapping[str, str | None] = field(default_factory=dict)
    """Maps UUIDs to why the queue gives the GPU to no job, or to None if it is free. Unchecked GPUs are missing."""
    stalled: frozenset[str] = frozenset()
    """UUIDs of GPUs that look busy while their run makes no progress."""
    samples: in_use.RecentUse = field(default_factory=dict)
    """The unexplained use of each GPU in the last samples, by UUID."""


class GpuFeed:
    """Samples the GPUs in a thread and calls `on_gpus` with each sample."""

    def __init__(
        self,
        on_gpus: Callable[[Gpus], None],
        on_failure: Report,
        lease_dir: Path | str | None = None,
        slots: int = 1,
    ) -> None:
        """`lease_dir` is the one in the settings, if set; `slots` is how many of this user's jobs may share a GPU.
        `on_failure` gets a line while the GPUs, the owners of their processes or the GPU locks cannot be read."""
        self._on_gpus = on_gpus
        self._judging = Retry("finding the owners of the GPU processes", on_failure)
        self._lease_dir = lease_dir
        self._slots = slots
        self._sampler = Sampler(self._sampled, VISIBLE_INTERVAL, on_failure=on_failure)
        self._interval = VISIBLE_INTERVAL
        self._jobs: tuple[Job, ...] = ()
        self._last = Gpus(GpuSnapshot())
        self._judged = -JUDGE_INTERVAL
        self._samples: in_use.RecentUse = {}
        self._retry_at = 0.0
        """Monotonic time of the next check after a failure."""
        self._stalls: StallDetector | None = None

    def start(self) -> None:
        self._sampler.start()

    def stop(self) -> None:
        """Stop sampling. Returns at once even while the driver hangs."""
        self._sampler.stop()

    def update_jobs(self, jobs: Iterable[Job]) -> None:
        """Use these jobs in the next checks."""
        self._jobs = tuple(jobs)

    def show(self, visible: bool) -> None:
        """Sample more often while the GPUs are visible."""
        interval = VISIBLE_INTERVAL if visible else HIDDEN_INTERVAL
        if interval != self._interval:
            self._interval = interval
            self._sampler.set_interval(interval)

    def _sampled(self, snapshot: GpuSnapshot) -> None:
        """Called in the sampler's thread."""
        now = time.monotonic()
        history = extended(self._last.history, snapshot)
        due = now - self._judged >= JUDGE_INTERVAL * 0.95 or _holders(snapshot) != _holders(self._last.snapshot)
        if (due or snapshot.stale is not None) and now >= self._retry_at:
            self._judged = now if snapshot.stale is None else -JUDGE_INTERVAL
            previous, self._last = self._last, Gpus(snapshot, history)  # kept as it is if the check fails
            self._retry_at = self._judging.attempt(lambda: self._judge(previous)) + time.monotonic()
        else:
            self._last = replace(self._last, snapshot=snapshot, history=history)
        self._on_gpus(self._last)

    def _judge(self, previous: Gpus) -> None:
        """Add owners, availability and stalls to the last sample."""
        from xray_tui.feeds.stall_detector import StallDetector
        from xray_tui.jobs.supervise.process_owners import owners

        snapshot, jobs = self._last.snapshot, self._jobs
        availability = self._availability(snapshot)
        if snapshot.stale is not None:  # the owners are still valid, the availability is not
            self._last = replace(
                self._last, owners=previous.owners, availability=availability, samples=previous.samples
            )
            return
        self._stalls = self._stalls or StallDetector()
        pids = (process.pid for gpu in snapshot.gpus for process in gpu.processes or ())
        by_pid = owners(pids, jobs)
        stalled = self._stalls.judge(snapshot, by_pid, jobs, snapshot.time)
        self._last = replace(
            self._last, owners=by_pid, availability=availability, stalled=stalled, samples=self._samples
        )

    def _availability(self, snapshot: GpuSnapshot) -> dict[str, str | None]:
        from xray_tui.jobs.locks.lock_dir import existing_lock_dir
        from xray_tui.jobs.queue.availability import held_gpus, standings

        folder, uuids = existing_lock_dir(self._lease_dir), [gpu.uuid for gpu in snapshot.gpus]
        self._samples = in_use.extended(self._samples, snapshot, held_gpus(uuids, folder))
        return standings(snapshot, held_gpus(uuids, folder, self._slots), self._samples)


def _holders(snapshot: GpuSnapshot) -> set[tuple[str, int, str]]:
    """(UUID, pid, kind) of each process on a GPU."""
    return {(gpu.uuid, process.pid, process.kind) for gpu in snapshot.gpus for process in gpu.processes or ()}
