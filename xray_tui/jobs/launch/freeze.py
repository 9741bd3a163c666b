"""Copies of the engine's code, made at launch, so that later changes of the code do not affect waiting jobs.

The copy's folder is named by a hash of its content, so all jobs with the same code share a copy. Each user has separate
copies, because a job must not run code that another user can change. A new copy removes old ones (old_engines.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import engine
from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs.launch import frozen_engine, old_engines
from xray_tui.jobs.launch.frozen_engine import ENGINE, RUN, digest, flaw, read_tree
from xray_tui.jobs.model.code_version import Source, commit_of
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system.safe_files import FOLDER_MODE, not_ours

PACKAGE = Path(engine.__file__).parent
"""Folder of the installed engine package."""

_READ_ONLY = 0o444
_TRIES = 5
_VERSION = re.compile(rb"""^__version__ = ["']([\w.+-]{1,64})["']""", re.MULTILINE)


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
    """The files of a frozen engine. Read until two reads agree, because a git checkout or an editor may be writing."""
    try:
        files = read_tree(package)
        for _ in range(_TRIES):
            again = read_tree(package)
            if again == files:
                tree = {f"{ENGINE}/{name}": data for name, data in files.items()}
                return {**tree, RUN: Path(frozen_engine.__file__).read_bytes()}
            files = again
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
        old_engines.choose(place)
    if flaw(place) is not None:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=engines) as temporary:
            _write(files, Path(temporary) / "new")
            _put(Path(temporary), place)
        old_engines.remove_old(engines, place.stat().st_mtime, JobStore(engines.parent.parent).jobs)
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
    """Move the new copy to its place and a damaged copy away. Another launch may do the same first."""
    try:
        if flaw(place) is not None and os.path.lexists(place):
            place.rename(temporary / "old")
        (temporary / "new").rename(place)
    except OSError:
        if flaw(place) is not None:
            raise
