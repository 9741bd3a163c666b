"""Checks and estimates of jobs before their launch.

Reads files of the jobs and of past jobs, so it must not run on the UI thread.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.contract.units import size
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.launch.gpu_request import resolve_request
from xray_tui.jobs.launch.resolve import resolve
from xray_tui.jobs.launch.sweep import planned
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.preflight.checks import BAD, OK, WARNING, Check, check_space, checks
from xray_tui.jobs.preflight.estimate import Estimate, PastJobs


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
    specs: Sequence[JobSpec],
    past: PastJobs,
    snapshot: GpuSnapshot,
    terms: GpuPolicy = GpuPolicy(),  # noqa: B008 - frozen
    then_evaluate: bool = False,
) -> Outlook:
    """Check and estimate jobs that are launched together, with an evaluation after each training if `then_evaluate`.

    An unreadable file becomes a failed check. `terms` is the GPU policy of the settings.
    """
    runs = past.runs
    try:
        jobs = past.read()
    except OSError as error:
        return Outlook((Check(BAD, f"jobs: {clean(error.strerror or str(error))}"),))
    new = planned(specs, runs, then_evaluate)
    specs_by_id = {job.id: job.spec for job in (*jobs, *new)}
    results: list[Check] = []
    estimates: list[tuple[str, Estimate]] = []
    for spec in (job.spec for job in new):
        try:
            count, gpus = _requested_gpus(spec, terms, snapshot)
        except BadInput as error:
            count, gpus = 0, []
            results += [Check(BAD, line) for line in error.lines]
        try:
            resolved = resolve(runs, spec, Path.cwd(), specs_by_id)
        except BadInput as error:
            results += [Check(BAD, f"config: {line}") for line in error.lines]
            continue
        results += checks(resolved, _coming(runs, jobs, new, spec))
        if (similar := past.estimate(resolved, count)) is not None:
            estimates.append((spec.kind, similar))
            results += _fits(similar, gpus)
    written = [similar.written for _, similar in estimates if similar.written is not None]
    results.append(check_space(runs, sum(written) if written else None))
    return Outlook(tuple(dict.fromkeys(results)), tuple(dict.fromkeys(estimates)))


def _requested_gpus(spec: JobSpec, terms: GpuPolicy, snapshot: GpuSnapshot) -> tuple[int, list[GpuSample]]:
    """(number of GPUs that the job takes, the GPUs from which it takes them). Raises BadInput."""
    if spec.gpu == "none" or (not snapshot.gpus and snapshot.problem is None):  # there is no sample yet
        return 0, []
    request, allowed = resolve_request(spec, terms, lambda: snapshot)
    uuids = allowed if request == "auto" else request.split(",")
    gpus = [gpu for gpu in snapshot.gpus if gpu.uuid and (not uuids or gpu.uuid in uuids)]
    return spec.gpu_count if gpus and request == "auto" else len(gpus), gpus


def _fits(similar: Estimate, gpus: Sequence[GpuSample]) -> list[Check]:
    """Check that enough GPUs have the memory that similar jobs took per GPU."""
    sizes = sorted((gpu.memory_total for gpu in gpus if gpu.memory_total is not None), reverse=True)
    took, count = similar.gpu_memory, similar.gpus
    if took is None or not 0 < count <= len(sizes):
        return []
    available, where = sizes[count - 1], f" on each of {count} GPUs" if count > 1 else ""
    text = f"GPU memory: similar runs took up to {size(took)}, available: {size(available)}{where}"
    return [Check(OK if took <= available else WARNING, text)]


def _coming(runs: Path, jobs: Sequence[Job], new: Sequence[Job], spec: JobSpec) -> dict[str, str]:
    """The runs that the jobs in spec.after will train, in the form of `coming` of `checks`."""
    return {
        os.path.realpath(runs / job.spec.run): "" if job in new else f"train {job.spec.run}, which is {job.state}"
        for job in (*jobs, *new)
        if job.spec.kind == "train" and job.id in spec.after and not job.state.ended
    }
