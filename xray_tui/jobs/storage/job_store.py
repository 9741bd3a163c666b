"""Read the folder runs/.jobs with a cache: a file is read again only if its time, size or inode has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from engine.contract.errors import BadInput
from engine.contract.files import write_json
from engine.contract.names import JOB, JOBS, LOG, PROGRESS
from engine.contract.text import clean
from xray_tui.jobs.model.job import Job, State, parse_job, parse_object, parse_progress, unreadable
from xray_tui.system.safe_files import read_small

STOP = "stop.json"
"""The stop order of a job; the first order is kept."""

HOLD, RELEASE = "hold.json", "release.json"
"""Orders of the owner: hold the job; start it although a dependency failed."""

Value = TypeVar("Value")


class JobStore:
    """The jobs of a runs folder, without their progress and stop orders if `states_only`. Thread-safe."""

    def __init__(self, runs: Path, states_only: bool = False) -> None:
        self.runs = runs.absolute()
        self._folder, self._states_only = str(self.runs / JOBS), states_only
        self._lock = Lock()
        self._cache: dict[str, dict[str, tuple[tuple[int, int, int], Any]]] = {}
        """Job -> file -> (version of the file, parsed value)."""

    def folder(self, identity: str) -> Path:
        return Path(self._folder, identity)

    def log(self, identity: str) -> Path:
        return self.folder(identity) / LOG

    def jobs(self, ids: Collection[str] | None = None) -> list[Job]:
        """All jobs, or those with these ids, newest first. A damaged job is listed as lost, with the reason. Raises
        OSError if the folder exists and cannot be listed."""
        try:
            names = os.listdir(self._folder) if ids is None else ids  # noqa: PTH208
        except FileNotFoundError:
            names = ()
        names = [name for name in names if name and "/" not in name and not name.startswith(".")]
        with self._lock:
            for gone in self._cache.keys() - names if ids is None else ():
                del self._cache[gone]
            jobs = [job for name in names if (job := self._read(name)) is not None]
        return sorted(jobs, key=lambda job: (job.created, job.id), reverse=True)

    def get(self, identity: str) -> Job:
        """The job with this id. Raises BadInput if there is none."""
        for job in self.jobs([identity]):
            return job
        raise BadInput(f"{clean(identity)}: no such job in {clean(str(self.runs))}; `xray-tui jobs` lists them")

    def _read(self, name: str) -> Job | None:
        try:
            job = self._parsed(name, JOB, lambda data: parse_job(data, name))
        except (OSError, ValueError) as error:
            return unreadable(name, getattr(error, "strerror", None) or str(error))
        if job is None or job.state.ended or self._states_only:
            return job
        try:
            progress = self._parsed(name, PROGRESS, parse_progress)
            by, time = self._parsed(name, STOP, _parse_stop) or (None, None)
        except OSError:
            return job
        if job.state.waiting:
            job = self._with_orders(job)
        if progress is None and by is None:
            return job
        return replace(job, progress=progress, stop_asked_by=by, stop_asked=time)

    def _with_orders(self, job: Job) -> Job:
        """The waiting job as its owner ordered it; its supervisor notices a hold and a release with its next poll."""
        is_held = os.path.lexists(f"{self._folder}/{job.id}/{HOLD}")
        if is_held:
            return job if job.state is State.HELD else replace(job, state=State.HELD, waits="held")
        is_released = job.state is State.BLOCKED and os.path.lexists(f"{self._folder}/{job.id}/{RELEASE}")
        return replace(job, state=State.QUEUED, waits="released") if is_released or job.state is State.HELD else job

    def _parsed(self, name: str, file: str, parse: Callable[[bytes], Value]) -> Value | None:
        """A parsed file of a job, from the cache if it has not changed; None if there is no file. Raises OSError."""
        cache, path = self._cache.setdefault(name, {}), f"{self._folder}/{name}/{file}"
        try:
            status = os.stat(path)  # noqa: PTH116 - for a thousand jobs each second; a Path costs more than the call
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if file not in cache or cache[file][0] != version:
                cache[file] = (version, parse(read_small(path)))
        except (FileNotFoundError, NotADirectoryError):
            cache.pop(file, None)
            return None
        value: Value = cache[file][1]
        return value


def read_job(folder: Path) -> Job:
    """The job in a folder, without the cache. Raises OSError, and ValueError for an invalid job.json."""
    return parse_job(read_small(folder / JOB), folder.name)


def is_at_home(job: Job, folder: Path) -> bool:
    """Whether the job was launched in this folder, not in the runs folder from which this one was copied."""
    try:
        return job.folder in ("", str(folder)) or Path(job.folder).samefile(folder)
    except (OSError, ValueError):
        return False


def claim(store: JobStore, jobs: Iterable[Job], run: str) -> Job | None:
    """The waiting or running training among these jobs that writes to the folder of this run, if any."""
    claims = (job for job in jobs if job.spec.kind == "train" and not job.state.ended)
    return next((job for job in claims if job.spec.run == run and is_at_home(job, store.folder(job.id))), None)


def read_stop(folder: Path) -> str | None:
    """The user who asked to stop the job; None if there is no stop order."""
    try:
        return _parse_stop(read_small(folder / STOP))[0]
    except OSError:
        return None


def write_stop(folder: Path, by: str, time: float) -> None:
    """Write a stop order, unless there is one already. Raises OSError."""
    if not (folder / STOP).exists():
        write_json(folder / STOP, {"by": by, "time": time})


def _parse_stop(data: bytes) -> tuple[str, float | None]:
    """(user, time) of a stop order; a damaged file counts as a stop order too."""
    values = parse_object(data) or {}
    by, time = values.get("by"), values.get("time")
    return (
        clean(by) if isinstance(by, str) and by else "somebody",
        time if isinstance(time, float) and abs(time) < 1e12 else None,
    )
