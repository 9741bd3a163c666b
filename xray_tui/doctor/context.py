"""The server that is looked at: its runs folder, its files below a root folder, and programs that may not answer."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_tui.settings import Settings


@dataclass(frozen=True, slots=True)
class Patient:
    """What the looks are told."""

    runs: Path
    """Absolute; it need not be there yet."""
    settings: Settings = Settings()  # noqa: RUF009 - frozen
    root: Path = Path("/")
    """Below which the system's own files are read."""


def ask(command: Sequence[str], seconds: float, failing: bool = False) -> str | None:
    """What the program prints; None where it is not there, does not answer in time, or fails (unless `failing`)."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if failing or done.returncode == 0 else None
