"""Annotated sources: which format the files of a folder have, and which image each annotation belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.annotations import coco, cvat, labelme, rle_csv, via, yolo
from engine.data.annotations.choose import Choice, choose
from engine.data.annotations.shapes import Annotations, Drawing, Flaw, Picture
from engine.data.images import SUFFIXES
from engine.data.layouts import CLASSES, SPLIT_FOLDERS
from engine.data.sources import Case, Source, checked

FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "coco": ("COCO", (".json",)),
    "labelme": ("LabelMe", (".json",)),
    "via": ("VGG VIA", (".json", ".csv")),
    "yolo": ("YOLO segmentation", (".txt",)),
    "cvat": ("CVAT XML", (".xml",)),
    "rle": ("a CSV of run lengths", (".csv",)),
}
"""Name and file suffixes of each format."""

TABLES = (".csv", ".txt")
YAML = (".yaml", ".yml")
DOCUMENTS = (".json", ".xml", ".csv", ".txt", *YAML)
MASK_FOLDERS = {"mask", "masks", "label", "labels", "labelstr", "gt", "annotations", "segmentationclass"}
MASK_STEM = re.compile(r"^mask_|[_-](mask|seg|gt)$", re.IGNORECASE)
V = TypeVar("V")


class _Found(NamedTuple):
    """The annotation files of a source by format, and the files that no reader recognises."""

    annotations: dict[str, list[Annotations]]
    others: list[str]
    problems: list[str]


def read_annotated(source: Path, format: str, choice: Choice) -> tuple[Source | None, list[Flaw]]:
    """(The source, or None where format is auto and no file is an annotation file; files that no reader explains.)

    source: an annotation file, with its images beside or below it (or below the folder above it), or a folder that
    holds both. Images without an annotation have an empty mask; their number is listed. Raises BadInput.
    """
    name = clean(str(source))
    found = _read_files(source, format)
    formats = [key for key, parts in found.annotations.items() if parts]
    if len(formats) > 1:
        counts = ", ".join(f"{key} ({len(found.annotations[key]):,} files)" for key in formats)
        raise BadInput([*found.problems, f"{name}: annotations in several formats: {counts}; choose with --format"])
    if found.problems:
        raise BadInput(found.problems)
    others = [Flaw("unexplained", line) for line in found.others]
    if not formats:
        expected = FORMATS[format][0] if format != "auto" else ", ".join(title for title, _ in FORMATS.values())
        if format != "auto" or source.suffix.lower() in (".json", ".xml", ".txt", *YAML):
            raise BadInput([f"{name}: no annotation file was recognised; expected {expected}", *found.others])
        return None, others
    root = source if source.is_dir() else source.parent
    files = _images(root)
    if not files and not source.is_dir():
        root = root.parent
        files = _images(root)
    masks = [path for path in files if _is_mask(path, root)]
    if masks and format == "auto" and source.is_dir():
        first = f"{len(masks):,} mask files, such as {clean(str(masks[0]))}"
        raise BadInput(f"{name}: annotations ({formats[0]}) and {first}; choose with --format {formats[0]} or folder")
    images = sorted(set(files) - set(masks))
    parts = found.annotations[formats[0]]
    pictures, chosen = choose([picture for part in parts for picture in part.pictures], choice, name)
    flaws = [flaw for part in parts for flaw in part.flaws]
    orphans = sum(flaw.lost for flaw in flaws)
    flaws += [*others, *chosen]
    flaws += [Flaw("mask file", f"{clean(str(path))}: left out, masks are those of the annotations") for path in masks]
    cases, joined, problems = _join(pictures, images, root)
    result = checked(cases, [*flaws, *joined], problems)
    shapes = sum(len(picture.drawing.shapes) for picture in pictures)
    return result._replace(annotations=shapes + orphans), []


def _read_files(source: Path, format: str) -> _Found:
    """Every annotation file of the source, read."""
    found = _Found(defaultdict(list), [], [])
    paths, names = [source], {}
    if source.is_dir() or source.suffix.lower() in YAML:
        folder = source if source.is_dir() else source.parent
        paths = sorted(path for path in _visible(folder) if path.suffix.lower() in DOCUMENTS)
    if not source.is_dir() and source.suffix.lower() in YAML:
        paths = [source, *(path for path in paths if path.suffix.lower() == ".txt")]
    texts = []
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in YAML and yolo.is_yolo_yaml(document := yolo.load_yaml(path)):
            names = yolo.read_names(path, document)
        elif suffix == ".txt" and format in ("auto", "yolo"):
            texts.append(path)
        elif format == "auto" or suffix in FORMATS[format][1]:
            _read_file(path, format, found)
        elif suffix not in YAML:
            found.others.append(f"{clean(str(path))}: not read as {format}")
    labels = {path for path in texts if yolo.is_yolo_text(path)}
    folders = {path.parent for path in labels}
    stems = {path.stem for path in _images(source if source.is_dir() else source.parent)} if labels else set()
    for path in texts:
        if path in labels or (path.parent in folders and path.stem in stems):  # also empty and damaged files
            _read_one("yolo", partial(yolo.read_yolo, path, names), found)
        else:
            found.others.append(f"{clean(str(path))}: not recognised as annotations")
    return found


def _read_file(path: Path, format: str, found: _Found) -> None:
    try:
        recognised = _recognise(path)
    except (BadInput, OSError) as error:
        found.problems.extend(getattr(error, "lines", [f"{clean(str(path))}: {clean(str(error))}"]))
        return
    if recognised and format in ("auto", recognised[0]):
        _read_one(*recognised, found)
    else:
        what = (
            f"is {FORMATS[recognised[0]][0]}, not read as {format}" if recognised else "not recognised as annotations"
        )
        found.others.append(f"{clean(str(path))}: {what}")


def _read_one(format: str, read: Callable[[], Annotations], found: _Found) -> None:
    try:
        found.annotations[format].append(read())
    except BadInput as error:
        found.problems.extend(f"{line} (read as {FORMATS[format][0]})" for line in error.lines)


def _recognise(path: Path) -> tuple[str, Callable[[], Annotations]] | None:
    """(The format of a file, its reader), or None."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        document = coco.load_json(path)
        if coco.is_coco(document):
            return "coco", partial(coco.read_coco, path, document)
        if labelme.is_labelme(document):
            return "labelme", partial(labelme.read_labelme, path, document)
        return ("via", partial(via.read_via, path, document)) if via.is_via(document) else None
    if suffix == ".xml":
        root = cvat.load_xml(path)
        return ("cvat", partial(cvat.read_cvat, path, root)) if cvat.is_cvat(root) else None
    if suffix == ".csv":
        with path.open("rb") as file:
            line = file.readline(1 << 16).decode("utf-8-sig", "replace")
        header = [column.strip().strip('"') for column in re.split(r"[,;\t]", line)]
        if set(via.COLUMNS) <= set(header):
            return "via", partial(via.read_via_csv, path)
        return ("rle", partial(rle_csv.read_rle_csv, path)) if rle_csv.find_columns(header) else None
    return None


def _join(pictures: Sequence[Picture], images: Sequence[Path], root: Path) -> tuple[list[Case], list[Flaw], list[str]]:
    """(a case for each image, flaws, problems). Pictures of several files that match one image are united."""
    by_name, by_stem = defaultdict(list), defaultdict(list)
    for path in images:
        by_name[_fold(path.name)].append(path)
        by_stem[_fold(path.stem)].append(path)
    pictures_of: dict[Path, list[Picture]] = defaultdict(list)
    flaws, problems = [], []
    for picture in pictures:
        matches: list[Path] = []
        for name in filter(None, (picture.name, picture.other_name)):
            base = _parts(name)[-1]
            stem = base.rpartition(".")[0]
            group = by_name.get(base) or by_stem.get(base) or by_stem.get(stem, [])
            matches = matches or _nearest(group, picture, name, root)
        where, count = f"{clean(str(picture.file))}: {clean(picture.name)}", len(picture.drawing.shapes)
        if len(matches) > 1:
            problems.append(
                f"{where}: matches {' and '.join(clean(str(path)) for path in matches)}; expected one image"
            )
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
    empty = sum(not any(picture.drawing.shapes for picture in group) for group in pictures_of.values())
    if unlisted + empty:
        line = f"{unlisted + empty:,} of {len(images):,} images have no annotation: taken as not fractured"
        flaws.append(Flaw("no annotation", f"{line} ({unlisted:,} of them are not in the annotation files)"))
    return list(_cases(pictures_of, images, root)), flaws, problems


def _cases(pictures_of: Mapping[Path, list[Picture]], images: Sequence[Path], root: Path) -> Iterator[Case]:
    repeated = any(count > 1 for count in Counter(path.stem for path in images).values())
    given = {path: next(filter(None, map(_split, group)), None) for path, group in pictures_of.items()}
    if len(set(given.values()) - {None}) < 2:  # train.csv alone does not make every image a training image
        given = {}
    splits = [_from_folders(path, root, SPLIT_FOLDERS) or given.get(path) for path in images]
    for path, split in zip(images, splits, strict=True):
        group = pictures_of.get(path, [])
        width, height = next((p.drawing[1:] for p in group if p.drawing.width and p.drawing.height), (None, None))
        drawing = Drawing(tuple(shape for p in group for shape in p.drawing.shapes), width, height)
        identity = "_".join((*path.relative_to(root).parts[:-1], path.stem)) if repeated else path.stem
        label = _from_folders(path, root, CLASSES)
        where = clean(str(group[0].file if group else path))
        yield Case(identity, path, where, label, drawing, split if all(splits) else None)


def _nearest(group: Sequence[Path], picture: Picture, name: str, root: Path) -> list[Path]:
    """Of images of one name, those that fit best: most folders of the name, then beside the annotation file, then in a
    folder of its split."""

    def rank(path: Path) -> tuple[int, bool, bool]:
        folders = [_fold(part) for part in path.parts[:-1]]
        same = 0
        for one, other in zip(reversed(_parts(name)[:-1]), reversed(folders), strict=False):
            if one != other:
                break
            same += 1
        split = _split(picture)
        beside = path.is_relative_to(picture.file.parent)
        return same, beside, split is not None and split == _from_folders(path, root, SPLIT_FOLDERS)

    ranks = [rank(path) for path in group]
    return [path for path, value in zip(group, ranks, strict=True) if value == max(ranks)]


def _split(picture: Picture) -> str | None:
    """The split that an annotation file gives: in a field, or in its name (instances_train2017.json)."""
    words = [picture.split.lower()] if picture.split else re.split(r"[^a-z]+", picture.file.stem.lower())
    return next((SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS), None)


def _from_folders(path: Path, root: Path, meaning: Mapping[str, V]) -> V | None:
    for part in reversed(path.relative_to(root).parts[:-1]):
        key = re.sub(r"[\s-]+|2017$", "_", part.strip().lower()).strip("_")
        if key in meaning:
            return meaning[key]
    return None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _parts(name: str) -> list[str]:
    return [part for part in _fold(name).replace("\\", "/").split("/") if part not in ("", ".", "..")] or [""]


def _is_mask(path: Path, root: Path) -> bool:
    folders = {part.lower() for part in path.relative_to(root).parts[:-1]}
    return bool(folders & MASK_FOLDERS or MASK_STEM.search(path.stem))


def _images(root: Path) -> list[Path]:
    return sorted(path for path in _visible(root) if path.suffix.lower() in SUFFIXES)


def _visible(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(root).parts) and path.is_file():
            yield path
