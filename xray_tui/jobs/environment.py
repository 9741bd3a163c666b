"""The environment of a launch, kept while its job waits: whoever starts its supervisor anew has one of their own.

It may hold secrets, so the file is the owner's alone, and gone as soon as the engine lives or the job has ended.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from engine.contract.files import write_json
from engine.contract.names import ENGINE_GIT_ENV, JOB_DIR_ENV
from xray_tui.jobs.files import not_ours, read_small
from xray_tui.jobs.job import parse_object
from xray_tui.jobs.process import JOB_MARK, RUN_MARK

KEPT = "environment.json"

_LARGEST = 16 << 20
"""Bytes; more than the kernel gives a process."""


def own_environment() -> dict[str, str]:
    """This process's, without the marks of the job from within which it may have been started: a new one is no part
    of that."""
    marks = (JOB_MARK, RUN_MARK, JOB_DIR_ENV, ENGINE_GIT_ENV)
    return {name: value for name, value in os.environ.items() if name not in marks}


def keep(folder: Path) -> None:
    """Keep this process's environment in the job's folder. Raises OSError."""
    write_json(folder / KEPT, own_environment(), 0o600)


def kept_or_own(folder: Path) -> dict[str, str]:
    """The environment of the job's launch; this process's where none is kept, or none that can be trusted and read.

    Raises OSError.
    """
    try:
        values = None if not_ours(folder, KEPT) else parse_object(read_small(folder / KEPT, _LARGEST))
    except FileNotFoundError:
        values = None
    if values is None or not all(isinstance(value, str) for value in values.values()):
        return own_environment()
    return values


def forget(folder: Path) -> None:
    """Remove what was kept."""
    with contextlib.suppress(OSError):
        (folder / KEPT).unlink(missing_ok=True)
