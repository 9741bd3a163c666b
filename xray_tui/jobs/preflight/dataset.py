"""Checks a manifest and the presence of its files within seconds, without opening an image."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.contract.text import clean
from xray_tui.jobs.launch.checkpoints import is_file

SAMPLE = 200
"""Maximum number of images to look for: all images of a large set on a file server take too long."""
PATIENCE = 3.0
"""Time limit for that in seconds."""
_LARGEST_TABLE = 256 << 20
_COLUMNS = ("id", "image", "mask", "split")
_SHARED = "train or val"


@dataclass(frozen=True, slots=True)
class _Table:
    """The content of a manifest, or the reason why it cannot be used."""

    counts: Mapping[str, int]
    """Number of images by split."""
    sample: Sequence[Mapping[str, str]] = ()
    """Rows whose files are looked for."""
    problem: str | None = None


def look_at_data(manifest: Path, splits: tuple[str, ...], has_folds: bool) -> tuple[bool, str]:
    """(whether the manifest and its files are fine, a summary or the problem, safe to print).

    `has_folds`: the folds replace the manifest's train and val splits. The manifest is cached until it changes; its
    files are looked for every time.
    """
    shown = clean(str(manifest))
    try:
        status = manifest.stat()
        version = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        table = _table(manifest, version, splits, has_folds)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return False, f"{shown}: {clean(reason or str(error))}"
    if table.problem is not None:
        return False, f"{shown}: {table.problem}"
    searched, problem = _look_for(manifest, table.sample)
    if problem is not None:
        return False, f"{shown}: {problem}"
    counted = " and ".join(f"{count} {split}" for split, count in table.counts.items())
    sampled = "" if searched == sum(table.counts.values()) else f", {searched} checked"
    return True, f"{counted} images in {shown}{sampled}"


@lru_cache(maxsize=8)
def _table(manifest: Path, version: tuple[int, ...], splits: tuple[str, ...], has_folds: bool) -> _Table:
    try:
        rows = _read_table(manifest)
    except (ValueError, csv.Error) as error:
        return _Table({}, problem=clean(str(error)))
    if has_folds:
        rows = [{**row, "split": _folded(row["split"])} for row in rows]
        splits = tuple(dict.fromkeys(map(_folded, splits)))
    rows = [row for row in rows if row["split"] in splits]
    counts = Counter(row["split"] for row in rows)
    if empty := [split for split in splits if not counts[split]]:
        return _Table({}, problem=f"no image of split {' and '.join(empty)}")
    return _Table({split: counts[split] for split in splits}, rows[:: max(1, len(rows) // SAMPLE)])


def _folded(split: str) -> str:
    return split if split == "test" else _SHARED


def _look_for(manifest: Path, rows: Sequence[Mapping[str, str]]) -> tuple[int, str | None]:
    """(number of rows whose files were looked for, the problem if files are missing)."""
    searched = missing = 0
    first = ""
    deadline = time.monotonic() + PATIENCE
    for row in rows:
        gone = [path for path in (row["image"], row["mask"]) if path and not is_file(manifest.parent / path)]
        searched, missing = searched + 1, missing + bool(gone or not row["image"])
        first = first or next(iter(gone), "")
        if time.monotonic() > deadline:
            break
    example = f", such as {clean(first)}" if first else ""
    return searched, f"files of {missing} of {searched} images are missing{example}" if missing else None


def _read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest. Raises OSError, csv.Error, and ValueError with the reason."""
    if path.stat().st_size > _LARGEST_TABLE:
        raise ValueError(f"larger than {_LARGEST_TABLE >> 20} MiB; expected a manifest")
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [column for column in _COLUMNS if column not in map(str.strip, reader.fieldnames or ())]
            if missing:
                raise ValueError(f"no column {', '.join(missing)}; expected a manifest")
            return [{str(key).strip(): str(value or "").strip() for key, value in row.items()} for row in reader]
        except UnicodeDecodeError:
            raise ValueError("not UTF-8 text; expected a CSV file") from None
