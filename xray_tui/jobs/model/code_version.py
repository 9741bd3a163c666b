"""Where an engine's code came from: its content, its version, the commit, and whether it differs from that."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.text import clean

PATIENCE = 5.0
"""Seconds for each question to git: on a network file system an answer may take a while, and a launch must not."""

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Source:
    """The code that a job runs. All of it is safe to print."""

    sha256: str
    """Of all its files, as hexadecimal digits; the name of the folder that it was copied to."""
    version: str
    """The engine's own."""
    commit: str | None = None
    """None outside of a git checkout."""
    dirty: bool | None = None
    """Whether files of the engine differ from the commit or are not in it; None where git does not say."""

    @property
    def git(self) -> str:
        """As artifacts have it: the commit, `-dirty` where files differ from it; empty outside of a checkout."""
        if self.commit is None:
            return ""
        return self.commit[:12] + {True: "-dirty", False: "", None: "-dirty?"}[self.dirty]


def from_values(values: Mapping[str, Any]) -> Source:
    """The source in a job.json. Raises ValueError."""
    commit, dirty = values.get("commit"), values.get("dirty")
    sha256, version = values.get("sha256"), values.get("version")
    if not isinstance(sha256, str) or not isinstance(version, str):
        raise ValueError("source: no sha256 and version as texts")
    return Source(
        clean(sha256)[:_LONGEST],
        clean(version)[:_LONGEST],
        clean(commit)[:_LONGEST] if isinstance(commit, str) else None,
        dirty if isinstance(dirty, bool) else None,
    )


def commit_of(package: Path) -> tuple[str | None, bool | None]:
    """(commit, dirty) of a package's folder; (None, None) where git does not keep it.

    A package that lies in a checkout without being part of it (in its .venv) has no commit.
    """
    if _git(package, "ls-files", "--error-unmatch", "--", "__init__.py") is None:
        return None, None
    commit = (_git(package, "rev-parse", "HEAD") or "").strip()
    if not _COMMIT.fullmatch(commit):
        return None, None
    but_bytecode = ":(exclude,glob)**/__pycache__/**"
    changes = _git(package, "status", "--porcelain", "--untracked-files=all", "--", ".", but_bytecode)
    return commit, None if changes is None else bool(changes.strip())


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it is not there, fails, or takes too long."""
    # A launch from a git hook has variables that lead to another repository. No locks, no monitor: this only looks.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
