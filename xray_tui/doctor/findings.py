"""The arguments of a doctor check, and the findings that it returns."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from xray_tui.settings import Settings

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Context:
    """The arguments of a check."""

    runs: Path
    """Absolute path; the folder may not exist."""
    settings: Settings = Settings()  # noqa: RUF009 - frozen
    root: Path = Path("/")
    """Folder that the paths of system files, such as /proc and /sys, start from."""


class Mark(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Works with limitations, or not always."""
    BAD = "bad"
    """Something does not work until this is fixed."""
    UNKNOWN = "unknown"
    """The check could not decide."""


SIGNS = {Mark.OK: "✓", Mark.WARN: "!", Mark.BAD: "✗", Mark.UNKNOWN: "?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of a check. All text is safe to print."""

    name: str
    mark: Mark
    found: str
    remedy: str = ""


def ok(name: str, found: str, remedy: str = "") -> Finding:
    return Finding(name, Mark.OK, found, remedy)


def warn(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, Mark.WARN, found, remedy)


def bad(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, Mark.BAD, found, remedy)


def unknown(name: str, why: str, remedy: str = "") -> Finding:
    return Finding(name, Mark.UNKNOWN, f"not known: {why}", remedy)


def ask(command: Sequence[str], seconds: float, failing: bool = False) -> str | None:
    """The program's output; None if it does not exist, exceeds the timeout, or fails (unless `failing` allows that)."""
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if failing or result.returncode == 0 else None


def as_lines(findings: Iterable[Finding]) -> list[str]:
    """The findings as wrapped lines: sign, mark, name and text, then the remedy on its own lines."""
    lines = []
    for finding in findings:
        mark = "" if finding.mark is Mark.UNKNOWN else finding.mark  # the text begins with "not known"
        head = f"{SIGNS[finding.mark]} {mark:4} {finding.name:14} "
        for text, first in ((finding.found, head), (finding.remedy, " " * len(head) + "→ ")):
            lines += textwrap.wrap(
                text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False,
                break_long_words=False,
            )  # fmt: skip
    return lines


def as_json(finding: Finding) -> dict[str, str | None]:
    """The finding as plain values, for scripts."""
    return {**asdict(finding), "remedy": finding.remedy or None}
