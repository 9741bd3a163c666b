"""Removes copies of the engine that no job will run again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from xray_tui.jobs.model.job import Job, State

AGE = 24 * 3600.0
"""Seconds for which a copy stays after a launch chose it; the launch writes its job.json within seconds. The age
replaces a lock because the runs folder may be on a network file system, whose clock sets all compared times."""

_LEAVING = ".old-"


def choose(place: Path) -> None:
    """Mark the copy as in use by a launch, before the launch checks its content. Raises OSError."""
    os.utime(place)


def remove_old(engines: Path, now: float, jobs: Callable[[], Iterable[Job]]) -> None:
    """Remove the copies that no launch has chosen for AGE and no job needs. A copy that cannot be removed stays.

    `now` is the time of the last choice. The jobs are read after the times of the copies, because by then any launch
    that chose an old copy has written its job.json.
    """
    with contextlib.suppress(OSError):
        old = [place for place in engines.iterdir() if _chosen(place) < now - AGE]
        known_jobs = list(jobs()) if old else []
        if not all(job.readable for job in known_jobs):
            return  # an unreadable job may need any copy
        needed = {job.source.sha256 for job in known_jobs if job.source is not None and may_run(job)}
        for place in old:
            if place.name not in needed:
                with contextlib.suppress(OSError):  # another launch may be removing it
                    _remove(place, now)


def may_run(job: Job) -> bool:
    """Whether the job is waiting or running, or can be resumed or revived."""
    if not job.state.ended:
        return True
    if job.spec.kind == "train":
        return job.state is not State.SUCCEEDED
    return job.state is State.LOST and job.started is None


def _chosen(place: Path) -> float:
    return place.lstat().st_mtime


def _remove(place: Path, now: float) -> None:
    """Rename before removing, so that a launch never sees a partial copy; undo the rename if a launch just chose it."""
    leaving = place if place.name.startswith(_LEAVING) else place.with_name(_LEAVING + place.name)
    place.rename(leaving)
    if _chosen(leaving) < now - AGE:
        shutil.rmtree(leaving, ignore_errors=True)
    else:
        leaving.rename(place)
