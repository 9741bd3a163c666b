"""The option --runs of the commands, and the jobs of the folder that it names."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.text import clean

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore


def add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="the runs folder; default: the settings' runs_dir, else ./runs"
    )


def open_store(options: argparse.Namespace) -> JobStore:
    """The jobs of the runs folder. Raises BadInput if the folder does not exist."""
    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.settings import runs_folder, settings_for

    runs = options.runs or runs_folder(None, settings_for(options))
    if not runs.is_dir():
        raise BadInput(f"{clean(str(runs))}: no such folder; give the runs folder with --runs DIR")
    return JobStore(runs)


def find(store: JobStore, text: str) -> Job:
    """The job with this id, or the only job whose id ends with `text`, such as `k3fz`. Raises BadInput."""
    jobs = [job for job in store.jobs() if text and job.id.endswith(text)]
    if len(jobs) > 1:
        raise BadInput(f"{clean(text)}: ambiguous: {', '.join(job.id for job in jobs)}; give more of the id")
    return jobs[0] if jobs else store.get(text)
