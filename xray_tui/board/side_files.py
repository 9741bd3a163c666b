"""Reads the files next to artifacts that some insights need: configs and per-image tables."""

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
    """run -> text of its config.yaml, for runs with a readable one."""
    configs = {}
    for row in rows:
        if "/" in row.artifact.path:
            text = _read_text(runs / row.run / CONFIG, LARGEST_CONFIG)
            if text is not None:
                configs[row.run] = text
    return configs


def read_per_image(runs: Path, row: Row, column: str) -> dict[str, float] | None:
    """image id -> value of a column in the per-image table of the artifact, without empty cells; None without a table.

    The table must be in the folder of the artifact or below it.
    """
    table = row.artifact.per_image
    if table is None or "\0" in table or PurePosixPath(table).is_absolute() or ".." in PurePosixPath(table).parts:
        return None
    text = _read_text((runs / row.artifact.path).parent / table, LARGEST_TABLE)
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
    """The UTF-8 text of a regular file; None if it is larger than `largest` bytes or not readable as text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
                return None
            return file.read(largest).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
