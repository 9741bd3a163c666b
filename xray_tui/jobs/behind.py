"""What is asked of a run that is still to be trained comes after its training, without being told to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.contract.names import BEST, CHECKPOINTS
from xray_tui.jobs.asked import several
from xray_tui.jobs.job import Job, JobSpec
from xray_tui.jobs.store import JobStore, claim


def behind(store: JobStore, spec: JobSpec) -> tuple[JobSpec, tuple[Job, ...]]:
    """(the spec, after the trainings whose runs it needs and that have no best checkpoint yet; these trainings)."""
    jobs = store.jobs()
    claims = (claim(store, jobs, run) for run in _needed(store.runs, spec) if not _is_trained(store.runs / run))
    parents = tuple(job for job in claims if job is not None and job.id not in spec.after)
    return replace(spec, after=(*spec.after, *(job.id for job in parents))), parents


def _needed(runs: Path, spec: JobSpec) -> Iterator[str]:
    """The runs, below the runs folder, that it reads checkpoints of."""
    if spec.kind == "evaluate":
        yield spec.run
    elif spec.kind == "blend":
        for member in several(spec.argv, "--members"):
            yield os.path.relpath(member, runs)


def _is_trained(run: Path) -> bool:
    return (run / CHECKPOINTS / BEST).is_file()
