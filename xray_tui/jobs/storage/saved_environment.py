"""The environment of a launch, saved in the job's folder for the supervisors of the waiting job.

Variables whose names look secret are left out. Only the owner can read the file. It is removed once the engine runs or
the job has ended.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.files import write_json
from engine.contract.names import ENGINE_GIT_ENV, JOB_DIR_ENV
from engine.contract.text import clean
from xray_tui.jobs.model.job import parse_object
from xray_tui.system.process import JOB_MARK, RUN_MARK
from xray_tui.system.safe_files import not_ours, read_small

if TYPE_CHECKING:
    from xray_tui.settings import Settings

KEPT = "environment.json"

SECRET = ("*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*CREDENTIAL*", "*_KEY", "SSH_*")
"""Patterns of names that look secret or belong to the SSH agent of a login session."""

_LARGEST = 16 << 20  # bytes; more than the kernel allows for the environment of a process


def own_environment() -> dict[str, str]:
    """This process's environment without the marks of a job, because a job launched within another is not part of
    it."""
    marks = (JOB_MARK, RUN_MARK, JOB_DIR_ENV, ENGINE_GIT_ENV)
    return {name: value for name, value in os.environ.items() if name not in marks}


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects the variables of the launching shell that a job gets, by case-insensitive patterns of names."""

    drop: tuple[str, ...] = ()
    """Left out in addition to SECRET."""
    keep: tuple[str, ...] = ()
    """Passed to the job even if they match SECRET or `drop`."""

    @classmethod
    def of(cls, settings: Settings) -> Filter:
        return cls(settings.environment_drop, settings.environment_keep)

    def environment(self) -> dict[str, str]:
        """The variables of this process that a job gets."""
        return {name: value for name, value in own_environment().items() if self._passes(name.upper())}

    def note(self) -> str | None:
        """A note that lists the variables left out, safe to print; without SSH_*, which end with the session anyway."""
        left_out = sorted(own_environment().keys() - self.environment().keys())
        if not (names := [clean(name) for name in left_out if not name.upper().startswith("SSH_")]):
            return None
        return f"not given to jobs: {', '.join(names)}; environment_keep in the settings keeps what a job needs"

    def _passes(self, name: str) -> bool:
        if any(fnmatchcase(name, pattern.upper()) for pattern in ("TOKENIZERS_PARALLELISM", *self.keep)):
            return True
        return not any(fnmatchcase(name, pattern.upper()) for pattern in (*SECRET, *self.drop))


def keep(folder: Path, variables: Filter) -> None:
    """Save the variables of this process that the job gets in the job's folder. Raises OSError."""
    write_json(folder / KEPT, variables.environment(), 0o600)


def kept_or_own(folder: Path) -> dict[str, str]:
    """The saved environment of the job's launch, or the one of this process if the file is missing, damaged, or could
    have been written by another user. Raises OSError.
    """
    try:
        values = None if not_ours(folder, KEPT) else parse_object(read_small(folder / KEPT, _LARGEST))
    except FileNotFoundError:
        values = None
    if not values or not all(isinstance(value, str) for value in values.values()):
        return own_environment()
    return values


def forget(folder: Path) -> None:
    """Remove the saved environment."""
    with contextlib.suppress(OSError):
        (folder / KEPT).unlink(missing_ok=True)
