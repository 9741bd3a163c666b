"""What a source of radiographs tells before any pixel is looked at: cases, flaws to list, problems that stop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from engine.contract.text import clean
from engine.data.manifest import SPLITS, id_problem, is_file, read_table


class Flaw(NamedTuple):
    """Something about the data that is listed and does not stop: (kind, line)."""

    kind: str
    line: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Polygons of an annotation, each a flat x, y, x, y … in pixels of the picture they were drawn on."""

    polygons: tuple[object, ...]
    """As the file has them: checked where they are drawn."""
    width: float
    height: float
    """Of that picture, as the annotation file says."""


@dataclass(frozen=True, slots=True)
class Case:
    """One radiograph as its source describes it."""

    id: str
    image: Path
    where: str
    """How messages call the place that tells of it, for example `data.csv: line 3`."""
    label: bool | None
    """Fractured or not; None: the source does not say."""
    mask: Path | Drawing | None
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A source as its reader found it."""

    cases: tuple[Case, ...]
    flaws: tuple[Flaw, ...]
    problems: tuple[str, ...]
    """A line each; with one of them nothing is prepared."""


def checked(cases: Iterable[Case], flaws: Iterable[Flaw], problems: Iterable[str]) -> Source:
    """The source, with a problem for each bad id, each id that comes twice and each file that is not there."""
    cases, problems = tuple(cases), list(problems)
    first: dict[str, str] = {}
    for case in cases:
        if problem := id_problem(case.id):
            problems.append(f"{case.where}: {problem}")
        elif case.id in first:
            problems.append(f"{case.where}: id: {case.id} is already at {first[case.id]}; each id once is right")
        else:
            first[case.id] = case.where
        if not is_file(case.image):
            problems.append(f"{case.where}: image: {clean(str(case.image))}: no such file")
        if isinstance(case.mask, Path) and not is_file(case.mask):
            problems.append(f"{case.where}: mask: {clean(str(case.mask))}: no such file")
    return Source(cases, tuple(flaws), tuple(problems))


def with_splits(source: Source, path: Path) -> Source:
    """The source with the splits of a CSV file (image_id or id, split); names count with or without their ending.

    Images that the file does not tell of are problems; names in it that the source does not have are flaws.
    Raises BadInput where the file is no such table.
    """
    name = clean(str(path))
    rows = list(read_table(path, ("split",)))
    column = next((column for column in ("image_id", "id") if rows and column in rows[0][1]), None)
    if column is None:
        return replace(source, problems=(*source.problems, f"{name}: image_id: no such column, or no rows under it"))
    problems, flaws = list(source.problems), list(source.flaws)
    told: dict[str, str] = {}
    for line, row in rows:
        where, key, split = f"{name}: line {line}", row[column], row["split"]
        if key in told:
            problems.append(f"{where}: {column}: {clean(key)} a second time; each image once is right")
        if split not in SPLITS:
            problems.append(f"{where}: split: {clean(split)[:80] or 'empty'}; train, val or test is right")
        told[key] = split
    used: set[str] = set()
    cases = []
    for case in source.cases:
        called = next((key for key in (case.id, case.image.name) if key in told), None)
        if called is None:
            problems.append(f"{name}: {clean(case.id)}: has no split there; a line for each image is right")
            continue
        used.add(called)
        cases.append(replace(case, split=told[called]))
    flaws.extend(
        Flaw("no image", f"{name}: {clean(key)}: the source has no such image") for key in told if key not in used
    )
    return Source(tuple(cases), tuple(flaws), tuple(problems))
