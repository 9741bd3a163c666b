"""The checkpoints that a job reads; a job waits for the trainings that write them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.contract.errors import BadInput
from engine.contract.names import BEST, CHECKPOINTS
from xray_tui.jobs.launch.resolve import ResolvedJob, resolve
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.storage.job_store import JobStore, claim

Use = Literal["checkpoint", "init_from", "member", "presence_run"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that a job reads; it may not exist yet."""

    use: Use
    path: Path
    run: Path | None
    """Folder of the run that writes the checkpoint; None for a file outside a run."""


def infer_dependencies(runs: Path, specs: Sequence[JobSpec]) -> tuple[list[JobSpec], tuple[Job, ...]]:
    """Add to each spec.after the unfinished trainings whose checkpoints the job reads; return (the specs, the
    trainings). An invalid config adds none, because the launch reports its errors."""
    store = JobStore(runs)
    jobs, results = store.jobs(), []
    trainings: dict[str, Job] = {}
    for spec in specs:
        claims = (claim(store, jobs, run) for run in dict.fromkeys(_missing_runs(store.runs, spec)))
        found = {job.id: job for job in claims if job is not None and job.id not in spec.after}
        results.append(replace(spec, after=(*spec.after, *found)))
        trainings |= found
    return results, tuple(trainings.values())


def _missing_runs(runs: Path, spec: JobSpec) -> list[str]:
    """The runs, relative to the runs folder, whose checkpoints the job reads and that do not exist yet."""
    try:
        checkpoints = required_checkpoints(resolve(runs, spec, Path.cwd()))
    except BadInput:
        return []
    home = os.path.realpath(runs)  # a config's paths follow links
    return [
        os.path.relpath(os.path.realpath(checkpoint.run), home)
        for checkpoint in checkpoints
        if checkpoint.run is not None and not is_file(checkpoint.path)
    ]


def required_checkpoints(job: ResolvedJob) -> Iterator[Checkpoint]:
    """All checkpoints that a job reads. A resumed training reads only its own last checkpoint; nnU-Net finds its own
    checkpoints itself."""
    if job.kind == "train" and job.config.get("kind") == "nnunet":
        return
    if job.kind == "evaluate" or job.checkpoint is not None:
        yield Checkpoint("checkpoint", job.folder / CHECKPOINTS / (job.checkpoint or BEST), job.folder)
    elif job.kind == "train":
        if isinstance(path := job.section("training").get("init_from"), str):
            yield _initial_weights(Path(path))
    elif job.kind == "blend":
        yield from (_best_of("member", member) for member in job.members)
        if isinstance(path := job.config.get("presence_run"), str):
            yield _best_of("presence_run", Path(path))


def is_file(path: Path) -> bool:
    """Whether the path is a file; False if it cannot be read."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises PermissionError


def _initial_weights(path: Path) -> Checkpoint:
    """The value of init_from: a checkpoint of a run, a file outside a run, or a run folder, which may not exist yet."""
    if path.parent.name == CHECKPOINTS:
        return Checkpoint("init_from", path, path.parent.parent)
    if path.suffix in (".pt", ".pth") or is_file(path):
        return Checkpoint("init_from", path, None)
    return _best_of("init_from", path)


def _best_of(use: Use, run: Path) -> Checkpoint:
    return Checkpoint(use, run / CHECKPOINTS / BEST, run)
