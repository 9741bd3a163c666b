"""Whether a manifest and the files that it names are there: what can be seen without opening an image, in seconds."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from engine.contract.text import clean
from xray_tui.jobs.reads import is_file

SAMPLE = 200
"""Images that are looked for; a set of ten thousand on a file server takes too long."""
PATIENCE = 3.0
"""Seconds after which no more of them are."""
REMEMBERED = 10.0
"""Seconds for which a set that was looked at is not looked at again."""
_LARGEST_TABLE = 256 << 20
_COLUMNS = ("id", "image", "mask", "split")
_SHARED = "train or val"


def look_at_data(manifest: Path, splits: tuple[str, ...], has_folds: bool) -> tuple[bool, str]:
    """(whether all is well, what is there or missing, safe to print). `has_folds`: all that is not of the test split is
    shared out anew, whatever the manifest says of it."""
    try:
        status = manifest.stat()
        version = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        return _judge(manifest, version, splits, has_folds, int(time.monotonic() / REMEMBERED))
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return False, f"{clean(str(manifest))}: {clean(reason or str(error))}"


@lru_cache(maxsize=8)
def _judge(
    manifest: Path, version: tuple[int, ...], splits: tuple[str, ...], has_folds: bool, moment: int
) -> tuple[bool, str]:
    rows = _read_table(manifest)
    if has_folds:
        rows = [{**row, "split": _folded(row["split"])} for row in rows]
        splits = tuple(dict.fromkeys(map(_folded, splits)))
    counts = Counter(row["split"] for row in rows)
    if empty := [split for split in splits if not counts[split]]:
        return False, f"{clean(str(manifest))}: no image of split {' and '.join(empty)}"
    looked, problem = _look_for(manifest, [row for row in rows if row["split"] in splits])
    if problem is not None:
        return False, f"{clean(str(manifest))}: {problem}"
    shown = " and ".join(f"{counts[split]} {split}" for split in splits)
    some = "" if looked == sum(counts[split] for split in splits) else f", {looked} looked at"
    return True, f"{shown} images in {clean(str(manifest))}{some}"


def _folded(split: str) -> str:
    return split if split == "test" else _SHARED


def _look_for(manifest: Path, rows: Sequence[dict[str, str]]) -> tuple[int, str | None]:
    """(how many images and masks were looked for: all of them, or some of many, spread evenly; what is missing)."""
    looked = missing = 0
    first = ""
    deadline = time.monotonic() + PATIENCE
    for row in rows[:: max(1, len(rows) // SAMPLE)]:
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
