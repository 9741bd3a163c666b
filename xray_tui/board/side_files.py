"""Evidence: the files beside the artifacts that some insights need, read when they are asked for and never before."""

from __future__ import annotations

import csv
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from engine.contract.names import CONFIG
from xray_tui.board.model import Row

LARGEST_CONFIG = 1 << 20
LARGEST_TABLE = 32 << 20


def read_configs(runs: Path, rows: Iterable[Row]) -> dict[str, str]:
    """run -> the text of its config.yaml, for the runs that have a readable one."""
    found = {}
    for row in rows:
        if "/" in row.artifact.path:
            text = _read_text(runs / row.run / CONFIG, LARGEST_CONFIG)
            if text is not None:
                found[row.run] = text
    return found


def read_per_image(runs: Path, row: Row, column: str) -> dict[str, float] | None:
    """Image id -> the value of a column (empty cells left out) of the artifact's per-image table; None without one.

    The table has to lie beside its artifact or below it.
    """
    named = row.artifact.per_image
    if named is None or "\0" in named or PurePosixPath(named).is_absolute() or ".." in PurePosixPath(named).parts:
        return None
    text = _read_text((runs / row.artifact.path).parent / named, LARGEST_TABLE)
    if text is None:
        return None
    scores: dict[str, float] = {}
    try:
        for line in csv.DictReader(text.splitlines()):
            cell = line.get(column)
            if cell:
                scores[line["id"]] = float(cell)
    except (csv.Error, KeyError, ValueError):
        return None
    return scores if scores and all(map(math.isfinite, scores.values())) else None


def _read_text(path: Path, largest: int) -> str | None:
    """A regular file's UTF-8 text; None for everything that is none, or larger."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_size > largest:
                return None
            return file.read(largest).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
