"""FracAtlas as it is published: dataset.csv, images/Fractured and images/Non_fractured, polygons in a COCO file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.images import SUFFIXES
from engine.data.manifest import read_table
from engine.data.sources import Case, Drawing, Flaw, Source, checked

TABLE = "dataset.csv"
IMAGES = "images"
COCO = "Annotations/COCO JSON"
FOLDERS = {"Fractured": True, "Non_fractured": False}
LARGEST_JSON = 1 << 30


def is_fracatlas(folder: Path) -> bool:
    """Whether a folder looks like FracAtlas as published."""
    return (folder / TABLE).is_file() and (folder / IMAGES).is_dir() and (folder / COCO).is_dir()


def read_fracatlas(folder: Path) -> Source:
    """Cases of a FracAtlas folder. An id is the image's file name without its suffix; labels are those of dataset.csv.

    Problems: rows without a file, a file name twice, labels other than 0 and 1, annotations without polygons. Flaws:
    files that dataset.csv does not list, a folder that contradicts the label, annotations of unknown images. Raises
    BadInput where a part of the layout is missing or unreadable.
    """
    table = folder / TABLE
    rows = read_table(table, ("image_id", "fractured"))
    paths_of: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((folder / IMAGES).rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            paths_of[path.name].append(path)
    coco = _read_coco(folder)
    problems, flaws, cases = list(coco.problems), list(coco.flaws), []
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
        folder_label = FOLDERS.get(paths[0].parent.name)
        if folder_label is not None and folder_label != (label == "1"):
            flaws.append(
                Flaw("folder", f"{clean(name)}: lies in {paths[0].parent.name}, dataset.csv says {clean(label)}")
            )
        cases.append(Case(Path(name).stem, paths[0], where, label == "1", coco.drawings.get(name)))
    listed = set(rows.image_id)
    flaws.extend(
        Flaw("unlisted", f"{clean(name)}: not in {TABLE}, left out") for name in paths_of if name not in listed
    )
    flaws.extend(
        Flaw("annotation", f"{clean(name)}: annotated, but not in {TABLE}")
        for name in coco.drawings
        if name not in listed
    )
    return checked(cases, flaws, problems)


@dataclass(frozen=True, slots=True)
class _Coco:
    drawings: dict[str, Drawing]
    flaws: tuple[Flaw, ...]
    problems: tuple[str, ...]


def _read_coco(folder: Path) -> _Coco:
    files = sorted((folder / COCO).glob("*.json"))
    if len(files) != 1:
        raise BadInput(f"{clean(str(folder / COCO))}: expected one JSON file, got {len(files)}")
    name = clean(str(files[0]))
    document = _load(files[0], name)
    images: dict[Any, tuple[str, float, float]] = {}
    problems: list[str] = []
    for position, image in enumerate(document["images"]):
        try:
            entry = (str(image["file_name"]), float(image["width"]), float(image["height"]))
            key = image["id"]
            hash(key)
        except (KeyError, TypeError, ValueError):
            problems.append(f"{name}: images[{position}]: expected id, file_name, width and height")
            continue
        images[key] = entry
    polygons: dict[str, list[object]] = defaultdict(list)
    flaws = []
    for position, annotation in enumerate(document["annotations"]):
        where = f"{name}: annotations[{position}]"
        try:
            key, parts = annotation["image_id"], annotation["segmentation"]
            known = images.get(key)
        except (KeyError, TypeError):
            problems.append(f"{where}: expected image_id and segmentation")
            continue
        if known is None:
            flaws.append(Flaw("annotation", f"{where}: image_id {clean(str(key))[:80]} is not among the file's images"))
        elif not isinstance(parts, list):
            problems.append(f"{where}: segmentation: run-length encoded; expected polygons")
        else:
            polygons[known[0]].extend(parts)
    drawings = {
        file: Drawing(tuple(polygons[file]), width, height)
        for file, width, height in images.values()
        if file in polygons
    }
    return _Coco(drawings, tuple(flaws), tuple(problems))


def _load(path: Path, name: str) -> dict[str, list[Any]]:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise BadInput(f"{name}: larger than {LARGEST_JSON >> 30} GiB; expected an annotation file")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}: not JSON: {clean(str(error))[:120]}") from None
    missing = list(_missing(document))
    if missing:
        raise BadInput(f"{name}: no list {' and '.join(missing)}; expected a COCO file")
    return dict(document)


def _missing(document: Any) -> Iterator[str]:
    for key in ("images", "annotations"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            yield key
