"""The GPUs with all that the rest of the app knows of them: a minute's history, whose work runs there, what is free."""

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
    from xray_tui.feeds.stall_detector import Stalls
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.supervise.process_owners import Marks, Owner

SHOWN, HIDDEN = 1.0, 5.0
"""Seconds between two looks while the GPUs are on the screen, and while something else covers them."""

JUDGED_EVERY = 2.0
"""Seconds between two looks at whose the processes are and which leases are held: as often as the driver lists them.
Processes that have come or gone are judged at once: for no second is one of ours taken for a stranger."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """One look at the GPUs, and what is known beside it."""

    snapshot: GpuSnapshot
    history: History = field(default_factory=dict)
    owners: Mapping[int, Owner] = field(default_factory=dict)
    """By pid: the run, and the job, that a process works for. Who is not in it works for none that we know of."""
    standings: Mapping[str, str | None] = field(default_factory=dict)
    """By UUID: why the queue does not give a GPU to a job; None where it does. One that is missing is not judged."""
    stalled: frozenset[str] = frozenset()
    """UUIDs of GPUs that look busy while their run does not get on."""
    looks: in_use.Looks = field(default_factory=dict)
    """What the last samples leave unexplained, by UUID."""


class GpuFeed:
    """Samples the GPUs, and calls `on_gpus` with each look, from a thread of its own."""

    def __init__(
        self,
        on_gpus: Callable[[Gpus], None],
        on_failure: Report,
        lease_dir: Path | str | None = None,
        slots: int = 1,
    ) -> None:
        """`lease_dir`: the settings' one, where there is one; `slots`: how many of this user's jobs share a GPU.
        `on_failure` gets a line while the GPUs cannot be read, or it is not known whose their processes are and which
        of them are free."""
        self._on_gpus = on_gpus
        self._judging = Retry("finding out whose the GPUs' processes are", on_failure)
        self._lease_dir = lease_dir
        self._slots = slots
        self._sampler = Sampler(self._sampled, SHOWN, on_failure=on_failure)
        self._interval = SHOWN
        self._jobs: tuple[Job, ...] = ()
        self._last = Gpus(GpuSnapshot())
        self._judged = -JUDGED_EVERY
        self._looks: in_use.Looks = {}
        self._again = 0.0
        """When to judge again after a failure; the same clock."""
        self._stalls: Stalls | None = None
        self._marks: Marks | None = None

    def start(self) -> None:
        self._sampler.start()

    def stop(self) -> None:
        """End; returns at once even while the driver hangs."""
        self._sampler.stop()

    def know_jobs(self, jobs: Iterable[Job]) -> None:
        """From now on judge by these jobs."""
        self._jobs = tuple(jobs)

    def show(self, shown: bool) -> None:
        """Whether anybody sees the GPUs; else they are looked at more rarely."""
        interval = SHOWN if shown else HIDDEN
        if interval != self._interval:
            self._interval = interval
            self._sampler.set_interval(interval)

    def _sampled(self, snapshot: GpuSnapshot) -> None:
        """In the sampler's thread."""
        now = time.monotonic()
        history = extended(self._last.history, snapshot)
        due = now - self._judged >= JUDGED_EVERY * 0.95 or _holders(snapshot) != _holders(self._last.snapshot)
        if (due or snapshot.stale is not None) and now >= self._again:
            self._judged = now if snapshot.stale is None else -JUDGED_EVERY
            self._last = self._guarded(snapshot, history)
        else:
            self._last = replace(self._last, snapshot=snapshot, history=history)
        self._on_gpus(self._last)

    def _guarded(self, snapshot: GpuSnapshot, history: History) -> Gpus:
        """The look judged. Where that fails, the figures are shown all the same, with the reason, and it is tried again
        after a pause."""
        judged = Gpus(snapshot, history)

        def judge() -> None:
            nonlocal judged
            if snapshot.stale is None:
                judged = self._judge(snapshot, history)
            else:  # Whose the processes are is known from before; what is free now is not.
                judged = replace(
                    self._last, snapshot=snapshot, standings=self._standings(snapshot), stalled=frozenset()
                )

        self._again = self._judging.attempt(judge) + time.monotonic()
        return judged

    def _judge(self, snapshot: GpuSnapshot, history: History) -> Gpus:
        from xray_tui.feeds.stall_detector import Stalls
        from xray_tui.jobs.supervise.process_owners import Marks, owners

        self._stalls = self._stalls or Stalls()
        self._marks = self._marks or Marks()
        jobs = self._jobs
        whose = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs, self._marks)
        stalled = self._stalls.judge(snapshot, whose, jobs, snapshot.time)
        return Gpus(snapshot, history, whose, self._standings(snapshot), stalled, self._looks)

    def _standings(self, snapshot: GpuSnapshot) -> dict[str, str | None]:
        from xray_tui.jobs.locks.lock_dir import existing_lease_dir
        from xray_tui.jobs.queue.availability import leased, standings

        folder, uuids = existing_lease_dir(self._lease_dir), [gpu.uuid for gpu in snapshot.gpus]
        self._looks = in_use.extended(self._looks, snapshot, leased(uuids, folder))
        return standings(snapshot, leased(uuids, folder, self._slots), self._looks)


def _holders(snapshot: GpuSnapshot) -> list[tuple[str, list[tuple[int, str]] | None]]:
    """Which processes hold which GPU, and as what; None where they cannot be listed."""
    return [
        (gpu.uuid, None if gpu.processes is None else [(process.pid, process.kind) for process in gpu.processes])
        for gpu in snapshot.gpus
    ]
