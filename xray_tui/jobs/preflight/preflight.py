"""What can be said of a job before its launch: whether it has what it needs, and what it will take.

Reads the disk and the jobs of the past: not for the UI thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.contract.units import size
from xray_tui.jobs.launch.launcher import gpus_for
from xray_tui.jobs.launch.resolve import asked
from xray_tui.jobs.launch.sweep import planned
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.preflight.checks import BAD, OK, WARNING, Check, checks, room_check
from xray_tui.jobs.preflight.estimate import Estimate
from xray_tui.jobs.preflight.forecast import Surroundings, free_of, gpu_count
from xray_tui.jobs.preflight.past_jobs import KnownJobs


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was found out."""

    checks: tuple[Check, ...]
    estimates: tuple[tuple[str, Estimate], ...] = ()
    """By kind of job; empty where no similar job has succeeded."""

    @property
    def bad(self) -> list[Check]:
        """The failed checks: with one of them a job would fail."""
        return [check for check in self.checks if check.is_bad]

    @property
    def is_bad(self) -> bool:
        """Whether a job would fail."""
        return bool(self.bad)

    @property
    def lines(self) -> list[str]:
        """All of it, a line each."""
        return [*(f"{check.sign} {check.text}" for check in self.checks), *self.forecast]

    @property
    def forecast(self) -> list[str]:
        """What the jobs will take, a line for each kind of job that has an estimate."""
        return [f"{kind} takes {estimate.sentence}" for kind, estimate in self.estimates]


def look_ahead(
    specs: Sequence[JobSpec], place: Surroundings, then_evaluate: bool = False, known_jobs: KnownJobs | None = None
) -> Outlook:
    """Everything that can be said now of jobs that are launched together, each training followed by its evaluation if
    `then_evaluate`. What cannot be read is said as a check. `known_jobs` makes repeated looks cheap."""
    try:
        jobs, history = (known_jobs or KnownJobs(place.runs)).read()
    except OSError as error:
        return Outlook((Check(BAD, f"jobs: {clean(error.strerror or str(error))}"),))
    new = planned(specs, place.runs, then_evaluate)
    known = {job.id: job.spec for job in (*jobs, *new)}
    place, found = _with_gpus(place, [job.spec for job in new])
    estimates: list[tuple[str, Estimate]] = []
    for job in new:
        try:
            wanted = asked(place.runs, job.spec, Path.cwd(), known)
        except BadInput as error:
            found += [Check(BAD, f"config: {line}") for line in error.lines]
            continue
        found += checks(wanted, _coming(place.runs, jobs, new, job.spec))
        gpus = gpu_count(job.spec, place)
        found += _at_once(job.spec, gpus, place) if gpus > 1 else []
        if (similar := history.estimate(job.spec.kind, wanted, gpus)) is not None:
            estimates.append((job.spec.kind, similar))
            found += _fits(similar, job.spec, place) if gpus else []
    wrote = [similar.written for kind, similar in estimates if similar.written is not None]
    found.append(room_check(place.runs, sum(wrote) if wrote else None))
    return Outlook(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(estimates)))


def _with_gpus(place: Surroundings, specs: Sequence[JobSpec]) -> tuple[Surroundings, list[Check]]:
    """(the same with the GPUs that "auto" may take; why the launcher would refuse the GPUs of a job)."""
    seen = place.snapshot
    if not seen.gpus and seen.problem is None:
        return place, []  # no sample has come yet
    found: list[Check] = []
    for spec in specs:
        try:
            wants, allowed = gpus_for(spec, place.terms, lambda: seen)
        except BadInput as error:
            found += [Check(BAD, line) for line in error.lines]
        else:
            place = replace(place, terms=replace(place.terms, allowed=allowed)) if wants == "auto" else place
    return place, found


def _at_once(spec: JobSpec, count: int, place: Surroundings) -> list[Check]:
    """Whether as many GPUs are free as a job of several takes."""
    gpus, free = free_of(spec, place)
    if len(gpus) < count:
        return []  # the launch is refused for it
    said = f"GPUs: {count} asked for, {len(free)} of {len(gpus)} free now"
    return [
        Check(OK, said)
        if len(free) >= count
        else Check(WARNING, f"{said}; the job waits until {count} are free at once")
    ]


def _fits(similar: Estimate, spec: JobSpec, place: Surroundings) -> list[Check]:
    """Whether as many GPUs as the job takes are large enough for what similar jobs took on each of theirs."""
    gpus, _ = free_of(spec, place)
    sizes = sorted((gpu.memory_total for gpu in gpus if gpu.memory_total is not None), reverse=True)
    took, count = similar.gpu_memory, similar.gpus
    if took is None or len(sizes) < count:
        return []
    room, each = size(sizes[count - 1]), f" on each of {count} GPUs" if count > 1 else ""
    if took <= sizes[count - 1]:
        return [Check(OK, f"GPU memory: up to {size(took)} of {room}{each}")]
    of = "the largest GPU has" if count == 1 else f"the smallest of the {count} largest GPUs has"
    return [Check(WARNING, f"GPU memory: a similar run took {size(took)}{each}, and {of} {room}")]


def _coming(runs: Path, jobs: Sequence[Job], new: Sequence[Job], spec: JobSpec) -> Callable[[Path], str | None]:
    """Says of a run folder which job will have trained it before this one begins: one that it comes after."""
    trained = {
        os.path.realpath(runs / job.spec.run): "" if job in new else f"train {job.spec.run}, which is {job.state}"
        for job in (*jobs, *new)
        if job.spec.kind == "train" and job.id in spec.after and not job.state.ended
    }
    return lambda run: trained.get(os.path.realpath(run))
