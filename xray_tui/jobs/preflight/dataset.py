"""Checks a manifest and the presence of its files within seconds, without opening an image."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from engine.contract.text import clean
from xray_tui.jobs.launch.dependencies import is_file

SAMPLE = 200
"""Number of images to look for, because looking for all of a large set on a file server takes too long."""
_LARGEST_TABLE = 256 << 20  # bytes
_COLUMNS = ("id", "image", "mask", "split")

Row = Mapping[str, str]


def check_dataset(manifest: Path, splits: tuple[str, ...], has_folds: bool) -> tuple[bool, str]:
    """(whether the manifest and its files are fine, a summary or the problem, safe to print).

    `has_folds` means that folds replace the manifest's train and val splits. The manifest is cached until it changes;
    its files are looked for every time.
    """
    shown = clean(str(manifest))
    try:
        status = manifest.stat()
        version = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        counts, sample = _count_images(manifest, version, splits, has_folds)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return False, f"{shown}: {clean(reason or str(error))}"
    if (problem := _missing_files(manifest.parent, sample)) is not None:
        return False, f"{shown}: {problem}"
    counted = " and ".join(f"{count} {split}" for split, count in counts.items())
    sampled = "" if len(sample) == sum(counts.values()) else f", {len(sample)} checked"
    return True, f"{counted} images in {shown}{sampled}"


@lru_cache(maxsize=8)
def _count_images(
    manifest: Path, version: tuple[int, ...], splits: tuple[str, ...], has_folds: bool
) -> tuple[Mapping[str, int], Sequence[Row]]:
    """(number of images by split, a sample of their rows). Raises what _read_manifest raises, and ValueError for an
    empty split."""

    def fold(split: str) -> str:
        return "train or val" if has_folds and split != "test" else split

    splits = tuple(dict.fromkeys(map(fold, splits)))
    rows = [row for row in _read_manifest(manifest) if fold(row["split"]) in splits]
    counts = Counter(fold(row["split"]) for row in rows)
    if empty := [split for split in splits if not counts[split]]:
        raise ValueError(f"no image of split {' and '.join(empty)}")
    return {split: counts[split] for split in splits}, rows[:: max(1, len(rows) // SAMPLE)]


def _missing_files(folder: Path, rows: Sequence[Row]) -> str | None:
    """How many rows lack a file, with an example; None if all files exist."""
    missing, example = 0, ""
    for row in rows:
        gone = [path for path in (row["image"], row["mask"]) if path and not is_file(folder / path)]
        if gone or not row["image"]:
            missing += 1
            example = example or next((f", such as {clean(path)}" for path in gone), "")
    return f"files of {missing} of {len(rows)} images are missing{example}" if missing else None


def _read_manifest(path: Path) -> list[dict[str, str]]:
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
