"""GPUs that look busy while their run does not get on: a kernel that spins, a collective that waits for a dead peer.

Utilisation alone cannot tell: it is the share of time in which any kernel ran, and one that waits runs as well. But it
draws far less power than work does, so three signs have to come together: busy, no new step, and little power.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.supervise.process_owners import Owner

BUSY = 95
"""%: utilisation from which a GPU looks busy."""

PATIENCE = 120.0
"""Seconds without a new step from which a run does not get on."""

FAR_BELOW = 0.6
"""Of the run's own norm. A kernel that only waits draws a third to a half of a training's power; the phases of a run
that gets on (validation, another crop size) mostly stay above."""

ENOUGH = 30
"""Looks from which a norm is one: a minute of work, at a look every two seconds."""

KEPT = 600
"""Looks that make the norm: the last 20 minutes of work, so that it follows a run that changes."""

RECENT = 5
"""Looks at the power of now; their median, as one look alone may fall between two kernels."""

CLOSE = 15.0
"""Seconds between two looks up to which they tell of the time between. In a longer gap nobody looked: the app was
stopped (Ctrl+Z), the machine slept, the driver hung."""


@dataclass(slots=True)
class _Pace:
    """How a job gets on."""

    at: tuple[str, int]
    """The phase, and what is done of it."""
    quiet: float = 0.0
    """Seconds that were watched since it last moved."""


@dataclass(slots=True)
class _Power:
    """What one job's work draws on one GPU, in watts, at looks that found it busy."""

    moving: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Of the time in which the job got on."""
    since: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    """Since it last moved. Whether it got on in that time, its next move will tell."""

    def moved(self, in_time: bool) -> None:
        if in_time:
            self.moving.extend(self.since)
        self.since.clear()

    @property
    def is_low(self) -> bool:
        if len(self.moving) < ENOUGH or len(self.since) < RECENT:
            return False
        return median(list(self.since)[-RECENT:]) < FAR_BELOW * median(self.moving)


class Stalls:
    """Judges look by look, and remembers what each run's work draws while it gets on."""

    def __init__(self) -> None:
        self._paces: dict[str, _Pace] = {}
        self._powers: dict[tuple[str, str], _Power] = {}
        self._looked: float | None = None
        self._time: float | None = None

    def judge(
        self, snapshot: GpuSnapshot, owners: Mapping[int, Owner], jobs: Iterable[Job], now: float
    ) -> frozenset[str]:
        """The UUIDs of the GPUs that seem stalled. `now` is in seconds of any clock.

        Nothing is said where the run's norm is not known yet, where more than one run or a foreign process computes,
        where the GPU does not tell its power, and of values that are old.
        """
        if snapshot.stale is not None or snapshot.problem is not None:
            return frozenset()
        jobs = [job for job in jobs if not job.state.ended]
        self._forget_all_but({job.id for job in jobs})
        self._follow(jobs, self._since_last_look(now))
        fresh, self._time = snapshot.time != self._time, snapshot.time
        stalled = set()
        for gpu in snapshot.gpus:
            job = _only_job(gpu, owners)
            if job is None or job not in self._paces or not _is_busy(gpu) or gpu.power is None:
                continue
            power = self._powers.setdefault((job, gpu.uuid), _Power())
            if fresh:
                power.since.append(gpu.power)
            if self._paces[job].quiet >= PATIENCE and power.is_low:
                stalled.add(gpu.uuid)
        return frozenset(stalled)

    def _since_last_look(self, now: float) -> float:
        """Seconds that may be counted: none for a gap, and none where the clock was set back."""
        passed = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        return passed if 0 < passed <= CLOSE else 0.0

    def _follow(self, jobs: Iterable[Job], passed: float) -> None:
        for job in jobs:
            if job.state is not State.RUNNING or job.progress is None:
                continue  # a progress.json that cannot be read for once says nothing about the pace
            at = (job.progress.phase, job.progress.done)
            pace = self._paces.setdefault(job.id, _Pace(at))
            pace.quiet += passed
            if at != pace.at:
                for (owner, _), power in self._powers.items():
                    if owner == job.id:
                        power.moved(in_time=pace.quiet < PATIENCE)
                self._paces[job.id] = _Pace(at)

    def _forget_all_but(self, jobs: set[str]) -> None:
        self._paces = {job: pace for job, pace in self._paces.items() if job in jobs}
        self._powers = {(job, uuid): power for (job, uuid), power in self._powers.items() if job in jobs}


def _is_busy(gpu: GpuSample) -> bool:
    return gpu.utilisation is not None and gpu.utilisation >= BUSY


def _only_job(gpu: GpuSample, owners: Mapping[int, Owner]) -> str | None:
    """The job that all computing on the GPU is for; None where there is another or none, or that cannot be told."""
    found = {owners.get(process.pid) for process in gpu.processes or () if process.computes}
    if not gpu.uuid or len(found) != 1:
        return None
    owner = found.pop()
    return None if owner is None else owner.job
