"""Removes copies of the engine that no job will run again, so that they do not pile up beside the jobs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from xray_tui.jobs.model.job import Job, State

AGE = 24 * 3600.0
"""Seconds for which a copy stays that was chosen: whoever launches with it writes its job.json in a few. No lock says
so, as the runs folder may lie on a network file system; the times that are compared are all by that one's clock."""

_LEAVING = ".old-"


def choose(place: Path) -> None:
    """Say that a launch is about to use the copy, before it looks whether it is whole. Raises OSError."""
    os.utime(place)


def remove_old(engines: Path, now: float, jobs: Callable[[], Iterable[Job]]) -> None:
    """Remove what lies in the folder of the copies, was chosen by nobody for AGE, and is needed by none of the jobs.

    `now` is the time of the last choice. The jobs are asked for after the copies' times: by then whoever chose one of
    the old has written its job. What cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        old = [place for place in engines.iterdir() if _chosen(place) < now - AGE]
        known = list(jobs()) if old else []
        if not all(job.readable for job in known):
            return  # nobody knows what such a job needs
        needed = {job.source.sha256 for job in known if job.source is not None and may_run(job)}
        for place in old:
            if place.name not in needed:
                with contextlib.suppress(OSError):  # another launch may be at it
                    _remove(place, now)


def may_run(job: Job) -> bool:
    """Whether the job waits, runs, or could be resumed or revived."""
    if not job.state.ended:
        return True
    if job.spec.kind == "train":
        return job.state is not State.SUCCEEDED
    return job.state is State.LOST and job.started is None


def _chosen(place: Path) -> float:
    return place.lstat().st_mtime


def _remove(place: Path, now: float) -> None:
    """Out of the way first, so that nobody finds half of it; back again where it was chosen at this very moment."""
    leaving = place if place.name.startswith(_LEAVING) else place.with_name(_LEAVING + place.name)
    place.rename(leaving)
    if _chosen(leaving) < now - AGE:
        shutil.rmtree(leaving, ignore_errors=True)
    else:
        leaving.rename(place)
