"""The version of an engine's code: a hash of its files, its version number, the git commit and uncommitted changes."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.text import clean

PATIENCE = 5.0
"""Timeout of each git command in seconds: git can be slow on a network file system, and a launch must not be."""

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Source:
    """The code that a job runs. Every field is safe to print."""

    sha256: str
    """Hash of all its files in hexadecimal digits; also the name of its frozen copy's folder."""
    version: str
    """Version number of the engine."""
    commit: str | None = None
    """None outside a git checkout."""
    dirty: bool | None = None
    """Whether engine files differ from the commit or are untracked; None if git did not answer."""

    @property
    def git(self) -> str:
        """The commit as in artifacts: 12 digits, and `-dirty` if files differ from it; empty outside a checkout."""
        if self.commit is None:
            return ""
        return self.commit[:12] + {True: "-dirty", False: "", None: "-dirty?"}[self.dirty]


def from_values(values: Any) -> Source | None:
    """Parse the `source` of a job.json; None if there is none. Raises ValueError."""
    if not isinstance(values, dict):
        return None
    sha256, version, commit, dirty = (values.get(name) for name in ("sha256", "version", "commit", "dirty"))
    if not isinstance(sha256, str) or not isinstance(version, str):
        raise ValueError("source: expected sha256 and version as strings")
    return Source(
        clean(sha256)[:_LONGEST],
        clean(version)[:_LONGEST],
        clean(commit)[:_LONGEST] if isinstance(commit, str) else None,
        dirty if isinstance(dirty, bool) else None,
    )


def commit_of(package: Path) -> tuple[str | None, bool | None]:
    """(commit, dirty) of a package's folder; (None, None) if git does not track it. An untracked package inside a
    checkout, such as one in its .venv, has no commit."""
    if _git(package, "ls-files", "--error-unmatch", "--", "__init__.py") is None:
        return None, None
    commit = (_git(package, "rev-parse", "HEAD") or "").strip()
    if not _COMMIT.fullmatch(commit):
        return None, None
    no_bytecode = ":(exclude,glob)**/__pycache__/**"
    changes = _git(package, "status", "--porcelain", "--untracked-files=all", "--", ".", no_bytecode)
    return commit, None if changes is None else bool(changes.strip())


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git; None if git is missing, fails or times out."""
    # GIT_* variables, set in a git hook, would select another repository. Reading needs no locks and no file monitor.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    null = subprocess.DEVNULL
    try:
        output = subprocess.check_output(command, stdin=null, stderr=null, env=environment, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return None
    return output.decode("utf-8", "replace")
