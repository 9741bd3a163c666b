"""What the checks get: the runs folder, the settings, the root of the file system, and a way to run a program."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_tui.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """The arguments of a check."""

    runs: Path
    """Absolute path; the folder may not exist."""
    settings: Settings = Settings()  # noqa: RUF009 - frozen
    root: Path = Path("/")
    """Folder that the paths of system files, such as /proc and /sys, start from."""


def ask(command: Sequence[str], seconds: float, failing: bool = False) -> str | None:
    """The program's output; None if it does not exist, exceeds the timeout, or fails (unless `failing` allows that)."""
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if failing or result.returncode == 0 else None
