"""A CSV file of radiographs as a source: id, image, mask and fractured, with split and group where it has them."""

from __future__ import annotations

from pathlib import Path

from engine.contract.text import clean
from engine.data.manifest import SPLITS, read_table
from engine.data.source import Case, Source, checked


def read_csv(path: Path) -> Source:
    """Cases of a CSV file; paths are relative to it.

    mask may be empty. The column split may be absent or wholly empty, then a split is drawn. group, usually the
    patient, is kept together by that. Raises BadInput where the file is no table with these columns.
    """
    cases, problems = [], []
    name = clean(str(path))
    folder = path.resolve().parent
    for line, row in read_table(path, ("id", "image", "mask", "fractured")):
        where = f"{name}: line {line}"
        split = row.get("split") or None
        if row["fractured"] not in ("0", "1"):
            problems.append(f"{where}: fractured: {clean(row['fractured'])[:80] or 'empty'}; 0 or 1 is right")
        if split is not None and split not in SPLITS:
            problems.append(f"{where}: split: {clean(split)[:80]}; train, val or test is right")
        if not row["image"]:
            problems.append(f"{where}: image: empty; a path relative to the table is right")
            continue
        mask = folder / row["mask"] if row["mask"] else None
        label = row["fractured"] == "1"
        cases.append(Case(row["id"], folder / row["image"], where, label, mask, split, row.get("group") or None))
    if not cases and not problems:
        problems.append(f"{name}: holds no rows; one line for each radiograph is right")
    return checked(cases, (), problems)
