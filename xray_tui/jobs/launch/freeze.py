"""What was asked is what runs: the engine's code, copied when a batch of jobs is submitted.

One copy of the code serves all jobs that were launched with the same: its folder is named after its content. The copies
are a user's own, as nobody runs code that somebody else may change. Old ones go when a new one comes (old_engines.py).
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
"""The engine that is installed here."""

_READ_ONLY = 0o444
_TRIES = 5
_VERSION = re.compile(rb"""^__version__ = ["']([\w.+-]{1,64})["']""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EngineCopy:
    """The command that runs a job's program, before its arguments, and where its code came from."""

    command: tuple[str, ...]
    source: Source | None
    """None where nothing was copied."""


def freeze_engine(jobs: Path, package: Path = PACKAGE) -> EngineCopy:
    """Copy the engine below the folder of the jobs, unless such a copy is there.

    Raises BadInput, a line an error, and OSError; then there is no part of a copy.
    """
    files = _read_engine(package)
    place = _copy(files, engines_folder(jobs))
    found = _VERSION.search(files.get(f"{ENGINE}/__init__.py", b""))
    source = Source(place.name, found[1].decode() if found else "?", *commit_of(package))
    return EngineCopy((sys.executable, "-P", str(place / RUN)), source)


def engines_folder(jobs: Path) -> Path:
    """Where this user's copies lie, each named after its content; hidden, so that none is taken for a job."""
    return jobs.absolute() / f".engines-{os.getuid()}"


def _read_engine(package: Path) -> dict[str, bytes]:
    """The files of a frozen engine. Read until two readings agree: a checkout or an editor may be at work."""
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
    raise BadInput(f"{clean(str(package))}: changes at this moment; launch once it stands still")


def _copy(files: dict[str, bytes], engines: Path) -> Path:
    """The copy of these files, made unless it is there and whole. Raises BadInput and OSError."""
    place = engines / digest(files)
    if not engines.is_dir():
        engines.parent.mkdir(parents=True, exist_ok=True)
        engines.mkdir(FOLDER_MODE, exist_ok=True)
        engines.chmod(FOLDER_MODE)
    with contextlib.suppress(FileNotFoundError):
        old_engines.choose(place)
    if flaw(place) is not None:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=engines) as made:
            _write(files, Path(made) / "new")
            _put(Path(made), place)
        old_engines.remove_old(engines, place.stat().st_mtime, JobStore(engines.parent.parent).jobs)
    if (reason := not_ours(engines, place.name) or flaw(place)) is not None:
        raise BadInput(f"{clean(str(engines))}: {clean(reason)}; remove it, and launch again")
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


def _put(made: Path, place: Path) -> None:
    """Let the new copy stand in its place; a damaged one goes. Whoever does the same at this moment may come first."""
    try:
        if flaw(place) is not None and os.path.lexists(place):
            place.rename(made / "old")
        (made / "new").rename(place)
    except OSError:
        if flaw(place) is not None:
            raise
