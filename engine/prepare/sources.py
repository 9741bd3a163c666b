"""Sources of radiographs before any pixel is decoded, and the reader of a CSV file.

A reader returns cases, flaws (listed, and the preparation goes on) and problems (which stop it).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.manifest import SPLITS, id_problem, source_problems
from engine.data.tables import read_table
from engine.prepare.annotations.shapes import Drawing, Flaw

FLAWS = "flaws.txt"
"""The file beside a manifest that lists all flaws."""


@dataclass(frozen=True, slots=True)
class Case:
    """One radiograph as its source describes it."""

    id: str
    image: Path
    where: str
    """Its location for messages, such as `data.csv: line 3`."""
    label: bool | None
    """Fractured or not; None: the source has no label."""
    mask: Path | Drawing | None
    split: str | None = None
    group: str | None = None
    spacing: str | None = None
    """Size of a pixel in mm: rows, then columns, such as `0.143 0.143`."""


class Source(NamedTuple):
    """The cases of a source, their flaws, and its problems, a line each. With any problem nothing is prepared."""

    cases: tuple[Case, ...]
    flaws: tuple[Flaw, ...]
    problems: tuple[str, ...]
    annotations: int = 0
    """The number of annotations or masks in the source, lost ones among them; 0: of the masks of the cases."""


def located(case: Case, error: BadInput) -> list[str]:
    """The lines of an error about the case's files, each with the place of the case."""
    return [line if line.startswith(f"{case.where}: ") else f"{case.where}: {line}" for line in error.lines]


def checked(cases: Iterable[Case], flaws: Iterable[Flaw], problems: Iterable[str]) -> Source:
    """The source, with a problem for each bad id and each duplicate id."""
    cases, problems = tuple(cases), list(problems)
    first: dict[str, str] = {}
    for case in cases:
        if problem := id_problem(case.id):
            problems.append(f"{case.where}: {problem}")
        elif first.setdefault(case.id, case.where) != case.where:
            problems.append(f"{case.where}: id: {case.id} is a duplicate of {first[case.id]}")
    return Source(cases, tuple(flaws), tuple(problems))


def with_splits(source: Source, path: Path) -> Source:
    """The source with the splits of a CSV file (image_id or id, split); names match with or without their suffix.

    Images that the file lacks are problems; names that the source lacks are flaws. Raises BadInput where the file is no
    such table.
    """
    name = clean(str(path))
    table = read_table(path, ("split",))
    column = next((column for column in ("image_id", "id") if column in table), None)
    if column is None or table.empty:
        return source._replace(problems=(*source.problems, f"{name}: image_id: no such column, or no rows"))
    problems, flaws = list(source.problems), list(source.flaws)
    copies = table[column].duplicated()
    for line, row in table.to_dict("index").items():
        where = f"{name}: line {line}"
        if copies[line]:
            problems.append(f"{where}: {column}: {clean(row[column])} is a duplicate")
        if row["split"] not in SPLITS:
            problems.append(f"{where}: split: expected train, val or test, got {clean(row['split'])[:80] or 'nothing'}")
    split_of = table.set_index(column)["split"].to_dict()
    cases, unused = [], set(split_of)
    for case in source.cases:
        key = case.id if case.id in split_of else case.image.name
        if key not in split_of:
            problems.append(f"{name}: {clean(case.id)}: no split; expected a line for each image")
            continue
        unused.discard(key)
        cases.append(replace(case, split=split_of[key]))
    flaws += [
        Flaw("no image", f"{name}: {clean(key)}: the source has no such image") for key in split_of if key in unused
    ]
    return Source(tuple(cases), tuple(flaws), tuple(problems))


def read_csv(path: Path) -> Source:
    """Cases of a CSV file; paths are relative to it.

    mask may be empty. The column split may be missing or empty in all rows; then a split is drawn, which keeps each
    group, usually a patient, together. Raises BadInput where the file is no table with these columns.
    """
    cases: list[Case] = []
    problems: list[str] = []
    name = clean(str(path))
    folder = path.resolve().parent
    table = read_table(path, ("id", "image", "mask", "fractured"))
    for line, row in table.to_dict("index").items():
        where = f"{name}: line {line}"
        problems.extend(f"{where}: {problem}" for problem in source_problems(row, folder))
        mask = folder / row["mask"] if row["mask"] else None
        split, group = row.get("split") or None, row.get("group") or None
        cases.append(
            Case(
                row["id"],
                folder / row["image"],
                where,
                row["fractured"] == "1",
                mask,
                split,
                group,
                row.get("spacing") or None,
            )
        )
    if table.empty:
        problems.append(f"{name}: no rows; expected one for each radiograph")
    return checked(cases, (), problems)
