"""Sources of radiographs before any pixel is decoded: a folder of images and masks, or a CSV file.

A reader returns cases, flaws (listed, and the preparation goes on) and problems (which stop it).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from engine.contract.text import clean
from engine.data.images import SUFFIXES
from engine.data.manifest import SPLITS, id_problem, read_table, source_problems

IMAGES, MASKS = "images", "masks"
MASK_ENDING = re.compile(r"[_-]mask$", re.IGNORECASE)
CLASSES = {
    "fractured": True, "fracture": True, "positive": True,
    "non_fractured": False, "not_fractured": False, "unfractured": False, "no_fracture": False,
    "negative": False, "normal": False,
}  # fmt: skip
V = TypeVar("V")

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Flaw(NamedTuple):
    """Something unusual about the data that is listed and does not stop the preparation: (kind, line)."""

    kind: str
    line: str


class Drawing(NamedTuple):
    """Polygons of an annotation as in its file, each a flat list x, y, x, y … in pixels of a picture of this size. They
    are checked when they are drawn."""

    polygons: tuple[object, ...]
    width: float
    height: float


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


class Source(NamedTuple):
    """The cases of a source, their flaws, and its problems, a line each. With any problem nothing is prepared."""

    cases: tuple[Case, ...]
    flaws: tuple[Flaw, ...]
    problems: tuple[str, ...]


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


def read_folder(folder: Path) -> Source:
    """Cases of a folder in one of these layouts, at any depth:

        images/**/NAME.png   masks/**/NAME.png (or NAME_mask.png)     images and masks apart
        **/NAME.png          **/NAME_mask.png                         masks beside their images

    An image without a mask file has no mask. Class folders (fractured, positive; non_fractured, normal, negative …, any
    case, `-` or a blank for `_`) give the label; without them the mask decides. Folders train, val (valid, validation)
    and test give the split if all images lie in one. The id is the name without its suffix, with its folders where
    names repeat. Flaw: a mask without an image. Problem: two images or two masks of one name.
    """
    files = sorted(path for path in folder.rglob("*") if _is_image(path, folder))
    apart = (folder / IMAGES).is_dir()
    if apart:
        images = [path for path in files if path.is_relative_to(folder / IMAGES)]
        masks = [path for path in files if path.is_relative_to(folder / MASKS)]
        image_root, mask_root = folder / IMAGES, folder / MASKS
    else:
        images = [path for path in files if not MASK_ENDING.search(path.stem)]
        masks = [path for path in files if MASK_ENDING.search(path.stem)]
        image_root = mask_root = folder
    problems = []
    if not images:
        problems.append(f"{clean(str(folder))}: no images; expected PNG, JPEG or TIFF files, or a folder {IMAGES}")
    mask_of, flaws, mask_problems = _matched(images, image_root, masks, mask_root)
    repeated = any(count > 1 for count in Counter(path.stem for path in images).values())
    splits = [_from_folders(path, image_root, SPLIT_FOLDERS) for path in images]
    if not all(splits):
        splits = [None] * len(images)
    cases = [
        Case(
            "_".join(_way(path, image_root)) if repeated else path.stem,
            path,
            clean(str(path)),
            _from_folders(path, image_root, CLASSES),
            mask_of.get(path),
            split,
        )
        for path, split in zip(images, splits, strict=True)
    ]
    return checked(cases, flaws, [*problems, *mask_problems])


def _matched(
    images: Iterable[Path], image_root: Path, masks: Iterable[Path], mask_root: Path
) -> tuple[dict[Path, Path], list[Flaw], list[str]]:
    """(mask of each image that has one, flaws: masks that match no image, problems: images with several masks).

    The same path below both roots matches first; a name alone matches where only one image has it.
    """
    images_of: dict[Hashable, list[Path]] = defaultdict(list)  # by the path below the root, and by the name
    for image in images:
        for key in (_way(image, image_root), image.stem):
            images_of[key].append(image)
    masks_of: dict[Path, list[Path]] = defaultdict(list)
    flaws = []
    for mask in masks:
        for stem in (mask.stem, MASK_ENDING.sub("", mask.stem)):
            matches = images_of.get((*_way(mask, mask_root)[:-1], stem)) or images_of.get(stem, [])
            if len(matches) == 1 and matches[0] != mask:
                masks_of[matches[0]].append(mask)
                break
        else:
            flaws.append(Flaw("mask alone", f"{clean(str(mask))}: expected one image of that name; left out"))
    problems = [
        f"{clean(str(image))}: expected one mask, got {len(group)}: {', '.join(clean(str(mask)) for mask in group)}"
        for image, group in masks_of.items()
        if len(group) > 1
    ]
    return {image: group[0] for image, group in masks_of.items()}, flaws, problems


def _is_image(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _way(path: Path, root: Path) -> tuple[str, ...]:
    return (*path.relative_to(root).parts[:-1], path.stem)


def _from_folders(path: Path, root: Path, meaning: dict[str, V]) -> V | None:
    """The meaning of the innermost folder that has one, or None."""
    for part in reversed(path.relative_to(root).parts[:-1]):
        key = re.sub(r"[\s-]+", "_", part.strip().lower())
        if key in meaning:
            return meaning[key]
    return None


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
        cases.append(Case(row["id"], folder / row["image"], where, row["fractured"] == "1", mask, split, group))
    if table.empty:
        problems.append(f"{name}: no rows; expected one for each radiograph")
    return checked(cases, (), problems)
