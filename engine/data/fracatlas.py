"""FracAtlas as it is published: dataset.csv, images/Fractured and images/Non_fractured, polygons in a COCO file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from engine.contract.errors import BadInput
from engine.contract.load import validate
from engine.contract.text import clean
from engine.data.images import SUFFIXES
from engine.data.manifest import is_file, read_table
from engine.data.sources import Case, Drawing, Flaw, Source, checked

TABLE = "dataset.csv"
IMAGES = "images"
COCO = "Annotations/COCO JSON"
FOLDERS = {"Fractured": True, "Non_fractured": False}
LARGEST_JSON = 1 << 30


def _polygons(parts: object) -> object:
    if isinstance(parts, dict):
        raise ValueError("run-length encoded; expected polygons")
    return parts


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: float
    height: float


class _Annotation(BaseModel):
    image_id: int | str
    segmentation: Annotated[list[Any], BeforeValidator(_polygons)]


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]


def is_fracatlas(folder: Path) -> bool:
    """Whether a folder looks like FracAtlas as published."""
    return (folder / TABLE).is_file() and (folder / IMAGES).is_dir() and (folder / COCO).is_dir()


def read_fracatlas(folder: Path) -> Source:
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
    drawings, flaws = _read_coco(folder)
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
    flaws += [Flaw("unlisted", f"{clean(name)}: not in {TABLE}, left out") for name in paths_of if name not in listed]
    flaws += [
        Flaw("annotation", f"{clean(name)}: annotated, but not in {TABLE}") for name in drawings if name not in listed
    ]
    return checked(cases, flaws, problems)


def _read_coco(folder: Path) -> tuple[dict[str, Drawing], list[Flaw]]:
    """(the polygons of each annotated file, annotations of unknown images)."""
    files = sorted((folder / COCO).glob("*.json"))
    if len(files) != 1:
        raise BadInput(f"{clean(str(folder / COCO))}: expected one JSON file, got {len(files)}")
    name = clean(str(files[0]))
    try:
        if files[0].stat().st_size > LARGEST_JSON:
            raise BadInput(f"{name}: larger than {LARGEST_JSON >> 30} GiB; expected an annotation file")
        document = json.loads(files[0].read_bytes())
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}: not JSON: {clean(str(error))[:120]}") from None
    if not isinstance(document, dict):
        raise BadInput(f"{name}: expected a COCO file with images and annotations")
    coco = validate(_Coco, document, name)
    images = {image.id: image for image in coco.images}
    polygons: dict[str, list[object]] = defaultdict(list)
    flaws = []
    for position, annotation in enumerate(coco.annotations):
        if annotation.image_id in images:
            polygons[images[annotation.image_id].file_name].extend(annotation.segmentation)
        else:
            key = clean(str(annotation.image_id))[:80]
            flaws.append(
                Flaw("annotation", f"{name}: annotations[{position}]: image_id {key} is not among the file's images")
            )
    drawings = {
        image.file_name: Drawing(tuple(polygons[image.file_name]), image.width, image.height)
        for image in images.values()
        if image.file_name in polygons
    }
    return drawings, flaws
