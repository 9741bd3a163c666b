"""Detect GPUs that look busy while their job makes no progress, such as when a collective waits for a dead peer.

Utilisation is the share of time in which any kernel runs, and a waiting kernel runs too, but it draws far less power.
A GPU is stalled if, at the same time, it is busy, its job has no new step, and its power is low.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.supervise.process_owners import Owner

BUSY_FROM = 95
"""Utilisation in % from which a GPU counts as busy."""

STALL_AFTER = 120.0
"""Seconds without a new step after which a job counts as stalled."""

LOW_POWER = 0.6
"""Power, as a share of the job's normal power, below which a GPU seems to wait. A waiting kernel draws a third to half
of a training's power; phases of a job that progresses (validation, another crop size) mostly draw more."""

MIN_SAMPLES, MAX_SAMPLES = 30, 600
"""Fewest and most samples for the normal power: one minute and 20 minutes of work at one sample every two seconds."""

RECENT_SAMPLES = 5
"""Number of last samples whose median is the current power; a single sample may fall between two kernels."""

MAX_GAP = 15.0
"""Longest time in seconds between two samples that counts as observed. In a longer gap the app was suspended, the
machine slept or the driver hung."""


@dataclass(slots=True)
class _Power:
    """Power samples of one job on one busy GPU, in watts."""

    moving: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    """Samples from times with progress."""
    since: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    """Samples since the last progress; the next progress shows whether they are normal."""

    @property
    def is_low(self) -> bool:
        if len(self.moving) < MIN_SAMPLES or len(self.since) < RECENT_SAMPLES:
            return False
        return median(list(self.since)[-RECENT_SAMPLES:]) < LOW_POWER * median(self.moving)


class StallDetector:
    """Judges each snapshot, and remembers the power that each job normally draws."""

    def __init__(self) -> None:
        self._paces: dict[str, tuple[tuple[str, int], float]] = {}
        """Maps job ids to (phase, its finished steps) and the observed seconds since that progress."""
        self._powers: dict[tuple[str, str], _Power] = {}
        self._judged: float | None = None
        self._time: float | None = None

    def judge(
        self, snapshot: GpuSnapshot, owners: Mapping[int, Owner], jobs: Iterable[Job], now: float
    ) -> frozenset[str]:
        """The UUIDs of the GPUs that seem stalled. `now` is in seconds of any clock.

        A GPU is not judged while the job's normal power is unknown, while more than one job or a foreign process
        computes on it, if it reports no power, or if the snapshot is stale.
        """
        if snapshot.stale is not None or snapshot.problem is not None:
            return frozenset()
        jobs = [job for job in jobs if not job.state.ended]
        ids = {job.id for job in jobs}
        self._paces = {job: pace for job, pace in self._paces.items() if job in ids}
        self._powers = {(job, uuid): power for (job, uuid), power in self._powers.items() if job in ids}
        passed, self._judged = now - (now if self._judged is None else self._judged), now
        self._follow(jobs, passed if 0 < passed <= MAX_GAP else 0.0)  # 0 also if the clock was set back
        fresh, self._time = snapshot.time != self._time, snapshot.time
        stalled = set()
        for gpu in snapshot.gpus:
            job = _only_job(gpu, owners)
            if job not in self._paces or gpu.power is None or (gpu.utilisation or 0) < BUSY_FROM:
                continue
            power = self._powers.setdefault((job, gpu.uuid), _Power())
            if fresh:
                power.since.append(gpu.power)
            if self._paces[job][1] >= STALL_AFTER and power.is_low:
                stalled.add(gpu.uuid)
        return frozenset(stalled)

    def _follow(self, jobs: Iterable[Job], passed: float) -> None:
        for job in jobs:
            if job.state is not State.RUNNING or job.progress is None:
                continue  # an unreadable progress.json says nothing about the progress
            at = (job.progress.phase, job.progress.done)
            before, quiet = self._paces.get(job.id, (at, 0.0))
            quiet += passed
            if at != before:
                for power in [power for (owner, _), power in self._powers.items() if owner == job.id]:
                    if quiet < STALL_AFTER:
                        power.moving.extend(power.since)
                    power.since.clear()
                quiet = 0.0
            self._paces[job.id] = at, quiet


def _only_job(gpu: GpuSample, owners: Mapping[int, Owner]) -> str | None:
    """The only job that computes on the GPU; None if there is no job, several jobs or a foreign process."""
    jobs = {owners.get(process.pid) for process in gpu.processes or () if process.computes}
    if not gpu.uuid or len(jobs) != 1:
        return None
    owner = jobs.pop()
    return None if owner is None else owner.job
