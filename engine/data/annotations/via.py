"""VGG Image Annotator (versions 1 and 2), and the VGG export of makesense.ai: JSON, a project, or CSV."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.data.annotations.shapes import Annotations, Drawing, Picture, Shape, ellipse
from engine.data.tables import read_table

COLUMNS = ("filename", "region_shape_attributes")
PROJECT = "_via_img_metadata"
LABELS = ("label", "class", "name", "type", "category")


def is_via(document: object) -> bool:
    """Whether a JSON document is VIA's: a project, or images with regions."""
    if isinstance(document, dict) and PROJECT in document:
        return True
    images = list(document.values())[:1] if isinstance(document, dict) else []
    return bool(images) and isinstance(images[0], dict) and {"filename", "regions"} <= images[0].keys()


def read_via(path: Path, document: Any) -> Annotations:
    """The pictures of a VIA document. Raises BadInput with every error."""
    images = document.get(PROJECT, document)
    rows: list[tuple[str, str, Any, Any]] = []
    pictures: dict[str, list[Shape]] = {}
    problems = []
    for key, image in images.items() if isinstance(images, dict) else [("", None)]:
        where = f"{clean(str(path))}: {clean(key)[:80]}"
        image = image if isinstance(image, dict) else {}
        regions = image.get("regions")
        if not isinstance(regions, dict | list) or not isinstance(image.get("filename"), str):
            problems.append(f"{where}: expected an object with filename and regions, got {brief(image)}")
            continue
        pictures[image["filename"]] = []
        for region in regions.values() if isinstance(regions, dict) else regions:
            shape, attributes = _parts(region)
            rows.append((where, image["filename"], shape, attributes))
    return _read(path, pictures, rows, problems)


def read_via_csv(path: Path) -> Annotations:
    """The pictures of VIA's CSV export. Raises BadInput with every error."""
    table = read_table(path, COLUMNS)
    rows: list[tuple[str, str, Any, Any]] = []
    pictures: dict[str, list[Shape]] = {}
    for line, row in table.to_dict("index").items():
        pictures[row["filename"]] = []
        texts = (row["region_shape_attributes"], row.get("region_attributes") or "{}")
        values = []
        for text in texts:
            try:
                values.append(json.loads(text))
            except (ValueError, RecursionError):
                values.append(text)  # no object: named below
        if values[0] != {}:  # the line of an image without regions
            rows.append((f"{clean(str(path))}: line {line}", row["filename"], *values))
    return _read(path, pictures, rows, [])


def _parts(region: Any) -> tuple[Any, Any]:
    if not isinstance(region, dict):
        return region, {}
    return region.get("shape_attributes"), region.get("region_attributes", {})


def _read(
    path: Path, pictures: dict[str, list[Shape]], rows: list[tuple[str, str, Any, Any]], problems: list[str]
) -> Annotations:
    shapes: dict[str, list[Shape]] = defaultdict(list, pictures)
    for where, name, shape, attributes in rows:
        try:
            shapes[name].append(_shape(shape, _label(attributes)))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            problems.append(f"{where}: expected a VIA region, got {brief(shape)} ({brief(error)})")
    if problems:
        raise BadInput(problems)
    return Annotations([Picture(name, Drawing(tuple(found)), path) for name, found in shapes.items()])


def _shape(shape: Any, label: str) -> Shape:
    kind = shape["name"]
    if kind == "polygon":
        pairs = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return Shape("polygon", [value for pair in pairs for value in pair], label)
    if kind == "circle":
        return Shape("polygon", ellipse(shape["cx"], shape["cy"], shape["r"], shape["r"]), label)
    if kind == "ellipse":
        turn = shape.get("theta", 0) * 57.29577951308232  # radians
        return Shape("polygon", ellipse(shape["cx"], shape["cy"], shape["rx"], shape["ry"], turn), label)
    return Shape("other", "box" if kind == "rect" else clean(str(kind)), label)


def _label(attributes: dict[str, Any]) -> str:
    """The region's category: an attribute called label, class or the like, or its only attribute."""
    named = {key.casefold(): value for key, value in attributes.items()}
    found = [named[key] for key in LABELS if key in named] or list(named.values())
    if not found or (len(found) > 1 and not named.keys() & set(LABELS)):
        return ""
    value = found[0]  # a check box is an object: {"fracture": true}
    return ", ".join(key for key, on in value.items() if on) if isinstance(value, dict) else str(value)
