"""Estimates the time, memory and disk space of a job from similar past jobs.

Similar jobs have the same network, image and patch size, batch, data and number of GPUs. The time of a training is
proportional to its epochs and their images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.units import duration, size
from xray_tui.jobs.launch.resolve import ResolvedJob, resolve_past
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.preflight.disk_space import size_of_run
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system import process

FURTHEST = 4.0
"""Maximum ratio of work between a past training and the new one for a time estimate: beyond it, the fixed cost of a
training (reading data, compiling) would distort the estimate."""
JOBS_READ = 60
"""Maximum number of jobs per kind, the newest first: each job costs reading a config, and older jobs ran an older
engine."""

_COSTS_NOTHING = frozenset({"encoder_weights", "partial_weights", "dropout"})
"""Fields of a network that affect neither its time nor its memory."""
_OF_A_STEP = ("batch_size", "accumulate", "precision", "channels_last", "compile", "plans", "trainer")
"""Fields that determine the time and memory of a training step, besides the network; the last two are nnU-Net's."""
_OF_A_BLEND = ("tta", "weight_step", "gamma_step", "threshold_step", "bootstrap", "presence_sources")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job's time and memory depend on."""

    key: str
    """Equal for similar jobs."""
    work: float = 1.0
    """Amount of work; the time is proportional to it."""
    gpus: int = 1


@dataclass(frozen=True, slots=True)
class Past:
    """What a succeeded job took, in bytes and seconds; None means unknown."""

    needs: Needs
    seconds: float | None = None
    memory: int | None = None
    gpu_memory: int | None = None
    written: int | None = None
    """Size of its run folder."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected time, memory and disk space of a job."""

    runs: int
    """Number of similar past jobs."""
    seconds: tuple[float, float] | None
    """Range of the time."""
    memory: int | None
    gpu_memory: int | None
    written: int | None
    """Maximum over the similar jobs in bytes; GPU memory is per GPU."""
    gpus: int

    @property
    def sentence(self) -> str:
        """`1h10m to 1h25m, 9.3 GiB GPU, from 3 similar runs`. It names main memory only if no GPU memory is known."""
        parts = []
        if self.seconds is not None:
            low, high = map(duration, self.seconds)
            parts.append(f"about {low}" if low == high else f"{low} to {high}")
        if self.gpu_memory is not None:
            where = f"on each of {self.gpus} GPUs" if self.gpus > 1 else "GPU"
            parts.append(f"{size(self.gpu_memory)} {where}")
        elif self.memory is not None:
            parts.append(f"{size(self.memory)} RAM")
        return ", ".join([*parts, f"from {self.runs} similar run{'s' * (self.runs > 1)}"])


def needs(job: ResolvedJob, gpus: int) -> Needs | None:
    """What the job's time and memory depend on; None if unknown."""
    if job.kind == "command":
        return Needs(_key("command", gpus, job.options), gpus=gpus)
    if not job.config:
        return None
    if job.kind == "blend":
        choices = [job.config.get(name) for name in _OF_A_BLEND]
        fused = job.config.get("presence_run") is not None
        return Needs(_key("blend", gpus, choices, len(job.members), fused))
    model = {name: value for name, value in job.section("model").items() if name not in _COSTS_NOTHING}
    model["classification_head"] = model.get("classification_head") is not None  # its width costs little
    fields = sorted((name, value) for name, value in model.items() if value is not None)
    network = [job.config.get("kind", "train"), fields, job.section("data").get("image_size"), str(job.manifest)]
    if job.kind == "evaluate":
        return Needs(_key("evaluate", gpus, network, job.options))
    training, data = job.section("training"), job.section("data")
    samples, epochs = training.get("samples_per_epoch"), training.get("epochs")
    if not isinstance(epochs, int) or not isinstance(samples, int | None):
        return None
    step = [training.get(name) for name in _OF_A_STEP]
    patch = data.get("patch")
    images = [patch.get("size") if isinstance(patch, dict) else None, data.get("cache", True)]
    key = _key("train", gpus, network, step, images, samples is None, job.config.get("device"))
    return Needs(key, float(epochs * (samples or 1)), gpus)


def estimate(wanted: Needs, past: Iterable[Past]) -> Estimate | None:
    """Estimate from similar jobs in `past`, sorted newest first; None if no similar job recorded anything."""
    similar = [job for job in past if job.needs.key == wanted.key and job.needs.work > 0 and wanted.work > 0]
    times = [
        job.seconds * wanted.work / job.needs.work
        for job in similar
        if job.seconds is not None and 1 / FURTHEST <= wanted.work / job.needs.work <= FURTHEST
    ]
    known = (
        (min(times), max(times)) if times else None,
        max((job.memory for job in similar if job.memory is not None), default=None),
        max((job.gpu_memory for job in similar if job.gpu_memory is not None), default=None),
        max((job.written for job in similar if job.written is not None), default=None),
    )
    return None if known == (None,) * 4 else Estimate(len(similar), *known, wanted.gpus)


def _key(*parts: Any) -> str:
    return json.dumps(parts, default=str)


class PastJobs:
    """This host's jobs in a runs folder, and estimates from those that succeeded. Rereads only what changed."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs.absolute()
        self._store = JobStore(runs)
        self._succeeded: list[Job] = []
        self._past: dict[str, list[Past]] = {}
        """The succeeded jobs by kind; a kind is read at its first estimate."""

    def read(self) -> list[Job]:
        """Read the jobs. Raises OSError if the jobs folder cannot be listed."""
        jobs = [job for job in self._store.jobs() if job.host == process.host()]
        succeeded = [job for job in jobs if job.state is State.SUCCEEDED]
        if succeeded != self._succeeded:
            self._succeeded, self._past = succeeded, {}
        return jobs

    def estimate(self, job: ResolvedJob, gpus: int) -> Estimate | None:
        """Estimate a job from similar jobs; None if there are none."""
        wanted = needs(job, gpus)
        if wanted is None:
            return None
        past = self._past  # another thread's `read` may replace it
        if job.kind not in past:
            past[job.kind] = self._read_past(job.kind)
        return estimate(wanted, past[job.kind])

    def _read_past(self, kind: str) -> list[Past]:
        jobs: Sequence[Job] = [job for job in self._succeeded if job.spec.kind == kind][:JOBS_READ]
        owns_run = kind in ("train", "blend")
        if owns_run:  # a run folder has only the config of its last job
            jobs = list({job.spec.run: job for job in reversed(jobs)}.values())[::-1]
        past = []
        for job in jobs:
            resolved = resolve_past(self.runs, job.spec, Path(job.cwd))
            required = None if resolved is None else needs(resolved, len(job.gpus))
            if required is None:
                continue
            is_uninterrupted = job.attempt == 1 and not job.spec.resumes
            seconds = job.ended - job.started if is_uninterrupted and job.ended and job.started else None
            written = size_of_run(self.runs / job.spec.run) if owns_run else None
            past.append(Past(required, seconds, job.peak_memory, job.peak_gpu_memory, written))
        return past
