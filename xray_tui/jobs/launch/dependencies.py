"""Dependencies of a job: a job that reads a checkpoint waits for the training that writes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import BadInput
from xray_tui.jobs.launch.checkpoints import is_file, reads
from xray_tui.jobs.launch.resolve import asked
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.storage.job_store import JobStore, claim


def behind(store: JobStore, spec: JobSpec) -> tuple[JobSpec, tuple[Job, ...]]:
    """Add to spec.after the unfinished trainings whose checkpoints the job reads; return (the spec, the trainings).

    These are the trainings of the evaluated run, of a blend's members and presence_run, and of a training's init_from.
    An invalid config adds none: the launch reports its errors.
    """
    jobs = store.jobs()
    claims = (claim(store, jobs, run) for run in dict.fromkeys(_missing(store.runs, spec)))
    parents = tuple(job for job in claims if job is not None and job.id not in spec.after)
    return replace(spec, after=(*spec.after, *(job.id for job in parents))), parents


def all_behind(runs: Path, specs: Sequence[JobSpec]) -> tuple[list[JobSpec], tuple[Job, ...]]:
    """Apply `behind` to all specs of one launch."""
    store = JobStore(runs)
    results = [behind(store, spec) for spec in specs]
    parents = {job.id: job for _, jobs in results for job in jobs}
    return [spec for spec, _ in results], tuple(parents.values())


def _missing(runs: Path, spec: JobSpec) -> list[str]:
    """The runs, relative to the runs folder, whose checkpoints the job reads and that do not exist yet."""
    try:
        wanted = asked(runs, spec, Path.cwd())
    except BadInput:
        return []
    home = os.path.realpath(runs)  # a config's paths follow links
    return [
        os.path.relpath(os.path.realpath(read.run), home)
        for read in reads(wanted)
        if read.run is not None and not is_file(read.path)
    ]
