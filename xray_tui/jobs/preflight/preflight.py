"""Checks and estimates of jobs before their launch.

Reads files of the jobs and of past jobs: not for the UI thread.
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
    """The checks and estimates of a launch."""

    checks: tuple[Check, ...]
    estimates: tuple[tuple[str, Estimate], ...] = ()
    """(kind of job, estimate); empty if no similar job has succeeded."""

    @property
    def bad(self) -> list[Check]:
        """The failed checks; each would make a job fail."""
        return [check for check in self.checks if check.is_bad]

    @property
    def is_bad(self) -> bool:
        """Whether a job would fail."""
        return bool(self.bad)

    @property
    def lines(self) -> list[str]:
        """All checks and estimates, one line each."""
        return [*(f"{check.sign} {check.text}" for check in self.checks), *self.forecast]

    @property
    def forecast(self) -> list[str]:
        """The estimates, one line each."""
        return [f"{kind} takes {estimate.sentence}" for kind, estimate in self.estimates]


def look_ahead(
    specs: Sequence[JobSpec], place: Surroundings, then_evaluate: bool = False, known_jobs: KnownJobs | None = None
) -> Outlook:
    """Check and estimate jobs that are launched together, with an evaluation after each training if `then_evaluate`.
    An unreadable file becomes a failed check. `known_jobs` makes repeated calls cheap."""
    try:
        jobs, history = (known_jobs or KnownJobs(place.runs)).read()
    except OSError as error:
        return Outlook((Check(BAD, f"jobs: {clean(error.strerror or str(error))}"),))
    new = planned(specs, place.runs, then_evaluate)
    specs_by_id = {job.id: job.spec for job in (*jobs, *new)}
    place, results = _with_gpus(place, [job.spec for job in new])
    estimates: list[tuple[str, Estimate]] = []
    for job in new:
        try:
            wanted = asked(place.runs, job.spec, Path.cwd(), specs_by_id)
        except BadInput as error:
            results += [Check(BAD, f"config: {line}") for line in error.lines]
            continue
        results += checks(wanted, _coming(place.runs, jobs, new, job.spec))
        gpus = gpu_count(job.spec, place)
        results += _at_once(job.spec, gpus, place) if gpus > 1 else []
        if (similar := history.estimate(job.spec.kind, wanted, gpus)) is not None:
            estimates.append((job.spec.kind, similar))
            results += _fits(similar, job.spec, place) if gpus else []
    wrote = [similar.written for kind, similar in estimates if similar.written is not None]
    results.append(room_check(place.runs, sum(wrote) if wrote else None))
    return Outlook(tuple(dict.fromkeys(results)), tuple(dict.fromkeys(estimates)))


def _with_gpus(place: Surroundings, specs: Sequence[JobSpec]) -> tuple[Surroundings, list[Check]]:
    """(`place`, limited to the GPUs that "auto" may take; a failed check per refused GPU request)."""
    snapshot = place.snapshot
    if not snapshot.gpus and snapshot.problem is None:
        return place, []  # there is no sample yet
    failed: list[Check] = []
    for spec in specs:
        try:
            wants, allowed = gpus_for(spec, place.terms, lambda: snapshot)
        except BadInput as error:
            failed += [Check(BAD, line) for line in error.lines]
        else:
            place = replace(place, terms=replace(place.terms, allowed=allowed)) if wants == "auto" else place
    return place, failed


def _at_once(spec: JobSpec, count: int, place: Surroundings) -> list[Check]:
    """Check that enough GPUs are free now for a job on several GPUs."""
    gpus, free = free_of(spec, place)
    if len(gpus) < count:
        return []  # the launcher refuses this job
    summary = f"GPUs: {count} requested, {len(free)} of {len(gpus)} free now"
    if len(free) >= count:
        return [Check(OK, summary)]
    return [Check(WARNING, f"{summary}; the job waits until {count} are free at once")]


def _fits(similar: Estimate, spec: JobSpec, place: Surroundings) -> list[Check]:
    """Check that enough GPUs have the memory that similar jobs took per GPU."""
    gpus, _ = free_of(spec, place)
    sizes = sorted((gpu.memory_total for gpu in gpus if gpu.memory_total is not None), reverse=True)
    took, count = similar.gpu_memory, similar.gpus
    if took is None or len(sizes) < count:
        return []
    capacity, where = size(sizes[count - 1]), f" on each of {count} GPUs" if count > 1 else ""
    if took <= sizes[count - 1]:
        return [Check(OK, f"GPU memory: up to {size(took)} of {capacity}{where}")]
    of = "the largest GPU has" if count == 1 else f"the smallest of the {count} largest GPUs has"
    return [Check(WARNING, f"GPU memory: a similar run took {size(took)}{where}, and {of} {capacity}")]


def _coming(runs: Path, jobs: Sequence[Job], new: Sequence[Job], spec: JobSpec) -> Callable[[Path], str | None]:
    """Returns a function that describes the job in spec.after that will train a run folder, as checks.Coming."""
    trained = {
        os.path.realpath(runs / job.spec.run): "" if job in new else f"train {job.spec.run}, which is {job.state}"
        for job in (*jobs, *new)
        if job.spec.kind == "train" and job.id in spec.after and not job.state.ended
    }
    return lambda run: trained.get(os.path.realpath(run))
