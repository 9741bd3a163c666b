"""FracAtlas as it is published: dataset.csv, images/Fractured and images/Non_fractured, polygons in a COCO file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.images import SUFFIXES
from engine.data.tables import is_file, read_table
from engine.prepare.annotations.choose import NO_CHOICE, Choice, choose
from engine.prepare.annotations.coco import load_json, read_coco
from engine.prepare.annotations.shapes import Drawing, Flaw
from engine.prepare.sources import Case, Source, checked
from engine.prepare.unread import list_unread

TABLE = "dataset.csv"
IMAGES = "images"
COCO = "Annotations/COCO JSON"
FOLDERS = {"Fractured": True, "Non_fractured": False}


def is_fracatlas(folder: Path) -> bool:
    """Whether a folder looks like FracAtlas as published."""
    return (folder / TABLE).is_file() and (folder / IMAGES).is_dir() and (folder / COCO).is_dir()


def read_fracatlas(folder: Path, choice: Choice = NO_CHOICE) -> Source:
    """Cases of a FracAtlas folder. An id is the image's file name without its suffix; labels are those of dataset.csv.

    Problems: rows without a file, a file name twice, labels other than 0 and 1. Flaws: files that dataset.csv does not
    list, a folder that contradicts the label, annotations of unknown images. Raises BadInput where a part of the layout
    is missing or unreadable.
    """
    table = folder / TABLE
    rows = read_table(table, ("image_id", "fractured"))
    paths_of: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((folder / IMAGES).rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            paths_of[path.name].append(path)
    drawings, flaws = _read_coco(folder, choice)
    annotations = sum(len(drawing.shapes) for drawing in drawings.values())
    problems, cases = [], []
    if rows.empty:
        problems.append(f"{clean(str(table))}: no rows; expected one for each radiograph")
    for line, row in rows.to_dict("index").items():
        name, label = row["image_id"], row["fractured"]
        where = f"{clean(str(table))}: line {line}"
        if label not in ("0", "1"):
            problems.append(f"{where}: fractured: expected 0 or 1, got {clean(label)[:80] or 'nothing'}")
        paths = paths_of.get(name) or [folder / IMAGES / name]
        if len(paths) > 1:
            problems.append(f"{where}: image_id: {clean(name)} found {len(paths)} times below {IMAGES}")
        if not is_file(paths[0]):
            problems.append(f"{where}: image: {clean(str(paths[0]))}: no such file")
        place = paths[0].parent.name
        if FOLDERS.get(place, label == "1") != (label == "1"):
            flaws.append(Flaw("folder", f"{clean(name)}: lies in {place}, dataset.csv says {clean(label)}"))
        cases.append(Case(Path(name).stem, paths[0], where, label == "1", drawings.get(name)))
    listed = set(rows.image_id)
    flaws += list_unread(sorted((folder / IMAGES).rglob("*")))
    flaws += [Flaw("unlisted", f"{clean(name)}: not in {TABLE}, left out") for name in paths_of if name not in listed]
    flaws += [
        Flaw("annotation", f"{clean(name)}: annotated, but not in {TABLE}", len(drawings[name].shapes))
        for name in drawings
        if name not in listed
    ]
    return checked(cases, flaws, problems)._replace(annotations=annotations)


def _read_coco(folder: Path, choice: Choice) -> tuple[dict[str, Drawing], list[Flaw]]:
    """(the drawing of each annotated file, flaws)."""
    files = sorted((folder / COCO).glob("*.json"))
    if len(files) != 1:
        raise BadInput(f"{clean(str(folder / COCO))}: expected one JSON file, got {len(files)}")
    pictures, flaws = choose(read_coco(files[0], load_json(files[0])), choice, clean(str(files[0])))
    drawings: dict[str, Drawing] = {}
    for picture in pictures:
        if picture.drawing.shapes:
            name = picture.name.replace("\\", "/").rpartition("/")[2]
            shapes = (*drawings[name].shapes, *picture.drawing.shapes) if name in drawings else picture.drawing.shapes
            drawings[name] = picture.drawing._replace(shapes=shapes)
    return drawings, flaws
