"""What caches, old checkpoints and logs of a runs folder take, and their removal. Nothing that is ranked is touched."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.names import BEST, CHECKPOINTS, CONFIG, JOBS, LAST, PREDICTIONS
from engine.contract.text import clean
from engine.contract.units import size
from xray_tui.jobs.model.job import Job, State

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Removable:
    """A file or folder that can be removed, and what that means."""

    kind: str
    """caches, checkpoints or logs."""
    path: Path
    bytes: int
    meaning: str


def removables(runs: Path, jobs: Sequence[Job], older_than: float) -> Iterator[Removable]:
    """What can be removed from a runs folder. `older_than` is the least age in days of logs and last.pt.

    Caches are predictions, which evaluations make again. Of checkpoints, best.pt stays always, and last.pt while a job
    of the run has not ended well. Logs are the folders of the user's jobs that have ended.
    """
    busy = {job.spec.run for job in jobs if not job.state.ended}
    resumable = busy | {job.spec.run for job in jobs if job.state in (State.FAILED, State.STOPPED, State.LOST)}
    limit = time.time() - older_than * DAY
    for folder, names, files in os.walk(runs):
        names[:] = sorted(name for name in names if not name.startswith("."))
        place, run = Path(folder), os.path.relpath(folder, runs)
        if CONFIG in files and run not in busy:
            if (place / PREDICTIONS).is_dir():
                yield _removable("caches", place / PREDICTIONS, "blends and evaluations predict again")
            last = place / CHECKPOINTS / LAST
            is_old = last.is_file() and last.stat().st_mtime < limit and (last.with_name(BEST)).is_file()
            if is_old and run not in resumable:
                yield _removable("checkpoints", last, "the training cannot be continued; best.pt stays")
    for job in jobs:
        folder_of_job = runs / JOBS / job.id
        is_mine = folder_of_job.is_dir() and folder_of_job.stat().st_uid == os.getuid()
        if is_mine and job.state.ended and (job.ended or job.created) < limit:
            yield _removable("logs", folder_of_job, "the job and its log are forgotten")


def remove(found: Removable) -> None:
    """Remove it. Raises OSError."""
    if found.path.is_dir() and not found.path.is_symlink():
        shutil.rmtree(found.path)
    else:
        found.path.unlink()


def lines(found: Sequence[Removable]) -> list[str]:
    """One line for each, the largest first, and the total of each kind. Safe to print."""
    texts = [
        f"{size(each.bytes):>9}  {each.kind:<11}  {clean(str(each.path))}: {each.meaning}"
        for each in sorted(found, key=lambda each: -each.bytes)
    ]
    for kind in dict.fromkeys(each.kind for each in found):
        texts.append(f"{size(sum(each.bytes for each in found if each.kind == kind)):>9}  {kind} in total")
    return texts


def _removable(kind: str, path: Path, meaning: str) -> Removable:
    files = [path] if path.is_file() else [entry for entry in path.rglob("*") if not entry.is_dir()]
    return Removable(kind, path, sum(entry.lstat().st_size for entry in files), meaning)
