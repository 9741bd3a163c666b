"""Copies of the engine's code and of the config, made at launch, so that later changes do not affect waiting jobs.

The folder of an engine copy is named by a hash of its content, so all jobs with the same code share a copy. Each user
has separate copies, because a job must not run code that another user can change. A new copy removes old ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import engine
from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.text import clean
from xray_tui.jobs.launch import frozen_engine
from xray_tui.jobs.launch.frozen_engine import ENGINE, RUN, digest, flaw, read_tree
from xray_tui.jobs.launch.resolve import resolved_config
from xray_tui.jobs.model.code_version import Source, commit_of
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system.safe_files import FOLDER_MODE, not_ours

PACKAGE = Path(engine.__file__).parent
"""Folder of the installed engine package."""
AGE = 24 * 3600.0
"""Seconds for which a copy is kept after a launch chose it; the launch writes its job.json within seconds. An age is
used instead of a lock because the runs folder may be on a network file system; its clock sets all compared times."""

_READ_ONLY = 0o444
_TRIES = 5
_VERSION = re.compile(rb"""^__version__ = ["']([\w.+-]{1,64})["']""", re.MULTILINE)


def config_text(kind: str, request: Any) -> str | None:
    """The YAML text of the request's config with its overrides; None if the request names no config.

    Its paths are absolute, because the text is saved in another folder. Raises BadInput with one line per error.
    """
    if (path := getattr(request, "config", None)) is None:
        return None
    import yaml

    words = ["--config", path, *(word for override in request.overrides for word in ("--set", override))]
    values = yaml.safe_dump(resolved_config(kind, request), sort_keys=False, allow_unicode=True, width=120)
    return f"# as launched: {clean(shlex.join(words))}\n{values}"


def keep_config(folder: Path, request: Any, text: str) -> Any:
    """Write the config into the job's folder under its original name, because a run without a name is named after it.
    Returns the request with this config. Raises OSError."""
    path = folder / f"{Path(request.config).stem}.yaml"
    write_whole(path, text, 0o644)
    return replace(request, config=str(path), overrides=())


@dataclass(frozen=True, slots=True)
class EngineCopy:
    """The command that runs an engine, without arguments, and the version of its code."""

    command: tuple[str, ...]
    source: Source | None
    """None if the engine was not copied."""


def freeze_engine(jobs: Path, package: Path = PACKAGE) -> EngineCopy:
    """Copy the engine below the jobs folder, unless the same copy exists.

    Raises BadInput with one line per error, and OSError; a failure leaves no partial copy.
    """
    files = _read_engine(package)
    place = _copy(files, engines_folder(jobs))
    version = _VERSION.search(files.get(f"{ENGINE}/__init__.py", b""))
    source = Source(place.name, version[1].decode() if version else "?", *commit_of(package))
    return EngineCopy((sys.executable, "-P", str(place / RUN)), source)


def engines_folder(jobs: Path) -> Path:
    """The folder of this user's copies, each named by its hash; hidden, because other folders here are jobs."""
    return jobs.absolute() / f".engines-{os.getuid()}"


def _read_engine(package: Path) -> dict[str, bytes]:
    """The files for a frozen engine, read until two reads agree, because a git checkout or an editor may be writing."""
    try:
        for _ in range(_TRIES):
            files = read_tree(package)
            if read_tree(package) == files:
                tree = {f"{ENGINE}/{name}": data for name, data in files.items()}
                return {**tree, RUN: Path(frozen_engine.__file__).read_bytes()}
    except ValueError as error:
        raise BadInput(clean(str(error))) from None
    raise BadInput(f"{clean(str(package))}: the files are changing; launch again when they no longer change")


def _copy(files: dict[str, bytes], engines: Path) -> Path:
    """The copy of these files, created unless an intact copy exists. Raises BadInput and OSError."""
    place = engines / digest(files)
    if not engines.is_dir():
        engines.parent.mkdir(parents=True, exist_ok=True)
        engines.mkdir(FOLDER_MODE, exist_ok=True)
        engines.chmod(FOLDER_MODE)
    with contextlib.suppress(FileNotFoundError):
        os.utime(place)  # marks the copy as in use, before its content is checked
    if flaw(place) is not None:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=engines) as temporary:
            _write(files, Path(temporary) / "new")
            _put(Path(temporary), place)
        remove_old(engines, place.stat().st_mtime, JobStore(engines.parent.parent).jobs)
    if (reason := not_ours(engines, place.name) or flaw(place)) is not None:
        raise BadInput(f"{clean(str(engines))}: {clean(reason)}; remove it and launch again")
    return place


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), _READ_ONLY)
            os.fsync(file.fileno())
    for parent in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        parent.chmod(FOLDER_MODE)


def _put(temporary: Path, place: Path) -> None:
    """Move a damaged copy away and the new copy to its place. Another launch may do the same first."""
    try:
        if flaw(place) is not None and os.path.lexists(place):
            place.rename(temporary / "old")
        (temporary / "new").rename(place)
    except OSError:
        if flaw(place) is not None:
            raise


def remove_old(engines: Path, now: float, jobs: Callable[[], Iterable[Job]]) -> None:
    """Remove the copies that no launch has chosen for AGE seconds and no job needs. An unremovable copy stays.

    `now` is the time of the last choice. The jobs are read after the times of the copies, because by then a launch that
    chose an old copy has written its job.json.
    """
    with contextlib.suppress(OSError):
        old = [place for place in engines.iterdir() if place.lstat().st_mtime < now - AGE]
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


def _remove(place: Path, now: float) -> None:
    """Rename before removing, so that a launch never sees a partial copy; undo the rename if a launch just chose it."""
    with tempfile.TemporaryDirectory(prefix=".old-", dir=place.parent, ignore_cleanup_errors=True) as temporary:
        leaving = place.rename(Path(temporary) / "old")
        if leaving.lstat().st_mtime >= now - AGE:
            leaving.rename(place)
