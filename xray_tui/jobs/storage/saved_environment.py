"""The environment of a launch, kept in the job's folder while the job waits, for every supervisor that it gets.

Variables whose names look secret are left out. The file is readable for its owner alone, and is removed as soon as the
engine runs or the job has ended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
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
"""Patterns of names that look secret, or that lead to the agent of a login session."""
NOT_SECRET = ("TOKENIZERS_PARALLELISM",)
"""Names that match these patterns and hold no secret."""

_LARGEST = 16 << 20
"""Bytes; more than the kernel gives a process."""


def own_environment() -> dict[str, str]:
    """This process's, without the marks of the job from within which it may have been started: a new one is no part
    of that."""
    marks = (JOB_MARK, RUN_MARK, JOB_DIR_ENV, ENGINE_GIT_ENV)
    return {name: value for name, value in os.environ.items() if name not in marks}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of the launching shell's variables a job gets: patterns of names, without regard to case."""

    drop: tuple[str, ...] = ()
    """Left out besides those of SECRET."""
    keep: tuple[str, ...] = ()
    """Given to the job all the same."""

    @classmethod
    def of(cls, settings: Settings) -> Filter:
        return cls(settings.environment_drop, settings.environment_keep)

    def environment(self) -> dict[str, str]:
        """This process's environment, as a job gets it."""
        return {name: value for name, value in own_environment().items() if self._gives(name)}

    def note(self) -> str | None:
        """A sentence that names what is left out, safe to print. Without SSH_*, which end with their session anyway."""
        left_out = sorted(own_environment().keys() - self.environment().keys())
        if not (names := [clean(name) for name in left_out if not name.upper().startswith("SSH_")]):
            return None
        return f"not given to jobs: {', '.join(names)}; environment_keep in the settings keeps what a job needs"

    def _gives(self, name: str) -> bool:
        return _matches(name, (*NOT_SECRET, *self.keep)) or not _matches(name, (*SECRET, *self.drop))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)


def keep(folder: Path, given: Filter) -> None:
    """Keep this process's environment in the job's folder, as the job gets it. Raises OSError."""
    write_json(folder / KEPT, given.environment(), 0o600)


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
