"""Annotated sources: which format the files of a folder have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.tables import read_header
from engine.prepare.annotations import coco, cvat, labelme, rle_csv, via, yolo
from engine.prepare.annotations.choose import Choice, choose
from engine.prepare.annotations.join import join
from engine.prepare.annotations.shapes import Flaw, Picture
from engine.prepare.layouts import is_named_mask, is_picture, visible_files
from engine.prepare.sources import Source, checked
from engine.prepare.unread import list_unread

FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "coco": ("COCO", (".json",)),
    "labelme": ("LabelMe", (".json",)),
    "via": ("VGG VIA", (".json", ".csv")),
    "yolo": ("YOLO segmentation", (".txt",)),
    "cvat": ("CVAT XML", (".xml",)),
    "rle": ("a CSV of run lengths", (".csv",)),
}
"""Name and file suffixes of each format."""

UNKNOWN = "not recognised as annotations"
YAML = (".yaml", ".yml")
DOCUMENTS = (".json", ".xml", ".csv", ".txt", *YAML)
WORDS = {b'"imagePath"': "labelme", b'"regions"': "via", b'"annotations"': "coco", b'"images"': "coco"}
"""Words that only files of one format start with."""


class _Found(NamedTuple):
    """The annotation files of a source by format, and the files that no reader recognises."""

    annotations: dict[str, list[list[Picture]]]
    others: list[str]
    problems: list[str]


def read_annotated(source: Path, format: str, choice: Choice) -> tuple[Source | None, list[Flaw]]:
    """(The source, or None where format is auto and no file is an annotation file; files that no reader explains.)

    source: an annotation file, with its images beside or below it (or below the folder above it), or a folder that
    holds both. Images without an annotation have an empty mask; their number is listed. Raises BadInput.
    """
    name, root = clean(str(source)), source if source.is_dir() else source.parent
    files, _ = visible_files(root)
    found = _read_files(source, files, format)
    if len(found.annotations) > 1:
        counts = ", ".join(f"{key} ({len(parts):,} files)" for key, parts in found.annotations.items())
        raise BadInput([*found.problems, f"{name}: annotations in several formats: {counts}; choose with --format"])
    if found.problems:
        raise BadInput(found.problems)
    others = [Flaw("unexplained", line) for line in found.others]
    if not found.annotations:
        expected = FORMATS[format][0] if format != "auto" else ", ".join(title for title, _ in FORMATS.values())
        if format != "auto" or source.suffix.lower() in (".json", ".xml", ".txt", *YAML):
            raise BadInput([f"{name}: no annotation file was recognised; expected {expected}", *found.others])
        return None, others
    if source.is_file() and not any(map(is_picture, files)):
        root = root.parent
        files, _ = visible_files(root)
    images = [path for path in files if is_picture(path)]
    masks = [path for path in images if is_named_mask(path, root)]
    if len(masks) == len(images):  # a folder of radiographs that is called labels
        masks = []
    ((key, parts),) = found.annotations.items()
    if masks and format == "auto" and source.is_dir():
        first = f"{len(masks):,} mask files, such as {clean(str(masks[0]))}"
        raise BadInput(f"{name}: annotations ({key}) and {first}; choose with --format {key} or folder")
    pictures, chosen = choose([picture for part in parts for picture in part], choice, name)
    left_out = [
        Flaw("mask file", f"{clean(str(path))}: left out, masks are those of the annotations") for path in masks
    ]
    beside = [] if source.is_dir() else sorted(source.parent.glob(f"*{source.suffix}"))
    siblings = [path for path in beside if path != source and key in _read_files(path, [], key).annotations]
    cases, joined, problems = join(pictures, sorted({*images} - {*masks}), root, siblings)
    flaws = [*others, *chosen, *list_unread(files), *left_out, *joined]
    total = sum(len(picture.drawing.shapes) for picture in pictures)
    return checked(cases, flaws, problems)._replace(annotations=total), []


def _read_files(source: Path, files: Sequence[Path], format: str) -> _Found:
    """Every annotation file of the source, read. files: those below its folder."""
    found = _Found({}, [], [])
    paths, names = [source], {}
    if source.is_dir():
        paths = [path for path in files if path.suffix.lower() in DOCUMENTS]
    elif source.suffix.lower() in YAML:
        paths += [path for path in files if path.suffix.lower() == ".txt"]
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
    stems = {path.stem for path in files if is_picture(path)} if labels else set()
    for path in texts:
        if path in labels or (path.parent in folders and path.stem in stems):  # also empty and damaged files
            _read_one("yolo", partial(yolo.read_yolo, path, names), found)
        else:
            found.others.append(f"{clean(str(path))}: {UNKNOWN}")
    return found


def _read_file(path: Path, format: str, found: _Found) -> None:
    try:
        recognised = _recognise(path)
    except BadInput as error:
        found.problems.extend(f"{line} (taken for {_likely(path)})" for line in error.lines)
        return
    if recognised and format in ("auto", recognised[0]):
        _read_one(*recognised, found)
    else:
        title = (
            f"is {FORMATS[recognised[0]][0]}, not read as {format}" if recognised else "not recognised as annotations"
        )
        found.others.append(f"{clean(str(path))}: {title}")


def _read_one(format: str, read: Callable[[], list[Picture]], found: _Found) -> None:
    try:
        pictures = read()
        found.annotations.setdefault(format, []).append(pictures)
    except BadInput as error:
        found.problems.extend(f"{line} (read as {FORMATS[format][0]})" for line in error.lines)


def _recognise(path: Path) -> tuple[str, Callable[[], list[Picture]]] | None:
    """(The format of a file, its reader), or None. Raises BadInput for a file that is not JSON or XML."""
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
        header: list[str] = []
        with contextlib.suppress(BadInput):
            header = read_header(path)
        if set(via.COLUMNS) <= set(header):
            return "via", partial(via.read_via_csv, path)
        return ("rle", partial(rle_csv.read_rle_csv, path)) if rle_csv.find_columns(header) else None
    return None


def _likely(path: Path) -> str:
    """The format of a file that cannot be parsed, as its first bytes suggest."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(1 << 16)
        if word := next((word for word in WORDS if word in start), None):
            return FORMATS[WORDS[word]][0]
    return " or ".join(title for title, suffixes in FORMATS.values() if path.suffix.lower() in suffixes)
