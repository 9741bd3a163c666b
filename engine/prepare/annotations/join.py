"""Which image each annotated picture belongs to: by its name, never by an id."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from engine.contract.text import clean
from engine.prepare.annotations.shapes import Drawing, Flaw, Picture
from engine.prepare.layouts import CLASSES, SPLIT_FOLDERS, folded, folder_keys, meaning_of
from engine.prepare.sources import Case

SUFFIX = re.compile(r"\.(?=\w*[a-z])\w{2,5}$")
"""The suffix of a file name. The last part of an id such as 1.2.840.10 does not match."""


def join(
    pictures: Sequence[Picture], images: Sequence[Path], root: Path, siblings: Sequence[Path]
) -> tuple[list[Case], list[Flaw], list[str]]:
    """(a case for each image, flaws, problems). Pictures of several files that match one image are united.

    siblings: other annotation files, which are not read; images that only they may list are left out.
    """
    by_name, by_stem = defaultdict(list), defaultdict(list)
    for path in images:
        by_name[folded(path.name)].append(path)
        by_stem[folded(path.stem)].append(path)
    pictures_of: dict[Path, list[Picture]] = defaultdict(list)
    flaws, problems = [], []
    for picture in pictures:
        matches: list[Path] = []
        for name in filter(None, (picture.name, picture.other_name)):
            base = _parts(name)[-1]
            stem = SUFFIX.sub("", base)
            nearest = _nearest(by_name.get(base) or by_stem.get(base) or by_stem.get(stem, []), picture, name, root)
            matches = [path for path in matches if path in nearest] or matches + nearest
        where, count = f"{clean(str(picture.file))}: {clean(picture.name)}", len(picture.drawing.shapes)
        if len(matches) > 1:
            listed = " and ".join(clean(str(path)) for path in matches)
            problems.append(f"{where}: matches {listed}; expected one image")
        elif matches:
            pictures_of[matches[0]].append(picture)
        else:
            flaws.append(Flaw("no image", f"{where}: {count} annotations, no such image", count))
    if not pictures_of and not problems:
        problems.append(f"{clean(str(root))}: no image that the annotations name; expected them beside or below")
    for path, annotated in pictures_of.items():
        names = {(picture.file, picture.name) for picture in annotated}
        if len({file for file, _ in names}) < len(names):
            listed = ", ".join(clean(name) for _, name in sorted(names))
            problems.append(f"{clean(str(path))}: several pictures of one annotation file match: {listed}")
        sizes = {picture.drawing[1:] for picture in annotated if picture.drawing.width and picture.drawing.height}
        if len(sizes) > 1:
            listed = " and ".join(f"{width:g} x {height:g}" for width, height in sorted(sizes))
            problems.append(f"{clean(str(path))}: annotated with different sizes: {listed}")
    unlisted = len(set(images) - pictures_of.keys())
    if unlisted and siblings:
        line = f"{unlisted:,} images are not in the annotation file: left out, because there are others beside it"
        flaws.append(Flaw("unlisted", f"{line}, such as {clean(siblings[0].name)}"))
        images, unlisted = [path for path in images if path in pictures_of], 0
    empty = sum(not any(picture.drawing.shapes for picture in group) for group in pictures_of.values())
    if unlisted + empty:
        line = f"{unlisted + empty:,} of {len(images):,} images have no annotation: taken as not fractured"
        flaws.append(Flaw("no annotation", f"{line} ({unlisted:,} of them are not in the annotation files)"))
    splits = _splits(pictures_of, images, root)
    if any(splits) and not all(splits):
        line = f"{sum(map(bool, splits)):,} of {len(images):,} images have a split in their folder or annotation file"
        flaws.append(Flaw("split", f"{line}: these splits are not used"))
        splits = [None] * len(images)
    return list(_cases(pictures_of, images, splits, root)), flaws, problems


def _splits(pictures_of: Mapping[Path, list[Picture]], images: Sequence[Path], root: Path) -> list[str | None]:
    given = {path: next(filter(None, map(_split, group)), None) for path, group in pictures_of.items()}
    if len(set(given.values()) - {None}) < 2:  # train.csv alone does not make every image a training image
        given = {}
    return [meaning_of(folder_keys(path, root), SPLIT_FOLDERS) or given.get(path) for path in images]


def _cases(
    pictures_of: Mapping[Path, list[Picture]], images: Sequence[Path], splits: Sequence[str | None], root: Path
) -> Iterator[Case]:
    repeated = any(count > 1 for count in Counter(path.stem for path in images).values())
    for path, split in zip(images, splits, strict=True):
        group = pictures_of.get(path, [])
        width, height = next((p.drawing[1:] for p in group if p.drawing.width and p.drawing.height), (None, None))
        drawing = Drawing(tuple(shape for p in group for shape in p.drawing.shapes), width, height)
        identity = "_".join((*path.relative_to(root).parts[:-1], path.stem)) if repeated else path.stem
        label = meaning_of(folder_keys(path, root), CLASSES)
        where = clean(str(group[0].file if group else path))
        yield Case(identity, path, where, label, drawing, split)


def _nearest(group: Sequence[Path], picture: Picture, name: str, root: Path) -> list[Path]:
    """Of images of one name, those that fit best: most folders of the name, then beside the annotation file, then in a
    folder of its split, then in the same letter case."""

    def rank(path: Path) -> tuple[int, bool, bool, bool]:
        folders = zip(_parts(name)[-2::-1], map(folded, path.parts[-2::-1]), strict=False)
        same = list(takewhile(lambda pair: pair[0] == pair[1], folders))
        split = _split(picture)
        beside = path.is_relative_to(picture.file.parent)
        in_split = split is not None and split == meaning_of(folder_keys(path, root), SPLIT_FOLDERS)
        return len(same), beside, in_split, path.name == re.split(r"[\\/]", name)[-1]

    ranks = [rank(path) for path in group]
    return [path for path, value in zip(group, ranks, strict=True) if value == max(ranks)]


def _split(picture: Picture) -> str | None:
    """The split that an annotation file gives: in a field, or in its name (instances_train2017.json)."""
    words = [picture.split.lower()] if picture.split else re.split(r"[^a-z]+", picture.file.stem.lower())
    return next((SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS), None)


def _parts(name: str) -> list[str]:
    return [part for part in folded(name).replace("\\", "/").split("/") if part not in ("", ".", "..")] or [""]
