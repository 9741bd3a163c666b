"""Whether a manifest and the files that it names are there: what can be seen without opening an image, in seconds."""

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
"""Images that are looked for; a set of ten thousand on a file server takes too long."""
PATIENCE = 3.0
"""Seconds after which no more of them are."""
_LARGEST_TABLE = 256 << 20
_COLUMNS = ("id", "image", "mask", "split")
_SHARED = "train or val"


@dataclass(frozen=True, slots=True)
class _Table:
    """What a manifest says, or why it cannot be used."""

    counts: Mapping[str, int]
    """Images by split."""
    sample: Sequence[Mapping[str, str]] = ()
    """Rows of which the files are looked for."""
    problem: str | None = None


def look_at_data(manifest: Path, splits: tuple[str, ...], has_folds: bool) -> tuple[bool, str]:
    """(whether all is well, what is there or missing, safe to print). `has_folds`: all that is not of the test split is
    shared out anew, whatever the manifest says of it.

    A manifest is read again only when it has changed; its files are looked for each time.
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
    looked, problem = _look_for(manifest, table.sample)
    if problem is not None:
        return False, f"{shown}: {problem}"
    counted = " and ".join(f"{count} {split}" for split, count in table.counts.items())
    some = "" if looked == sum(table.counts.values()) else f", {looked} looked at"
    return True, f"{counted} images in {shown}{some}"


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
    found = Counter(row["split"] for row in rows)
    if empty := [split for split in splits if not found[split]]:
        return _Table({}, problem=f"no image of split {' and '.join(empty)}")
    return _Table({split: found[split] for split in splits}, rows[:: max(1, len(rows) // SAMPLE)])


def _folded(split: str) -> str:
    return split if split == "test" else _SHARED


def _look_for(manifest: Path, rows: Sequence[Mapping[str, str]]) -> tuple[int, str | None]:
    """(how many rows' images and masks were looked for, what is missing)."""
    looked = missing = 0
    first = ""
    deadline = time.monotonic() + PATIENCE
    for row in rows:
        gone = [path for path in (row["image"], row["mask"]) if path and not is_file(manifest.parent / path)]
        looked, missing = looked + 1, missing + bool(gone or not row["image"])
        first = first or next(iter(gone), "")
        if time.monotonic() > deadline:
            break
    such = f", such as {clean(first)}" if first else ""
    return looked, f"files of {missing} of {looked} images are missing{such}" if missing else None


def _read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest. Raises OSError, csv.Error, and ValueError with the reason."""
    if path.stat().st_size > _LARGEST_TABLE:
        raise ValueError(f"larger than {_LARGEST_TABLE >> 20} MiB; that is no manifest")
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [column for column in _COLUMNS if column not in map(str.strip, reader.fieldnames or ())]
            if missing:
                raise ValueError(f"no column {', '.join(missing)}; that is no manifest")
            return [{str(key).strip(): str(value or "").strip() for key, value in row.items()} for row in reader]
        except UnicodeDecodeError:
            raise ValueError("not UTF-8 text; a CSV file is right") from None
