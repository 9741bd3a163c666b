"""VGG Image Annotator (versions 1 and 2), and the VGG export of makesense.ai: JSON, a project, or CSV."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.data.annotations.shapes import Annotations, Drawing, Picture, Shape, ellipse, read_each
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
    rows: list[tuple[str, str, Iterable[Any]]] = []
    problems = []
    for key, image in images.items() if isinstance(images, dict) else [("", images)]:
        where = f"{clean(str(path))}: {clean(key)[:80]}"
        try:
            name, regions = image["filename"], image["regions"]
            if not isinstance(name, str) or not isinstance(regions, dict | list):
                raise TypeError
            rows.append((where, name, regions.values() if isinstance(regions, dict) else regions))
        except (TypeError, LookupError):
            problems.append(f"{where}: expected an object with filename and regions, got {brief(image)}")
    return _read(path, rows, problems)


def read_via_csv(path: Path) -> Annotations:
    """The pictures of VIA's CSV export. Raises BadInput with every error."""
    rows = []
    for line, row in read_table(path, COLUMNS).to_dict("index").items():
        region = {key: _json(row.get(key) or "{}") for key in ("region_shape_attributes", "region_attributes")}
        region["shape_attributes"] = region.pop("region_shape_attributes")
        regions = [region] if region["shape_attributes"] != {} else []  # none in the line of an image without regions
        rows.append((f"{clean(str(path))}: line {line}", row["filename"], regions))
    return _read(path, rows, [])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # no object: a problem of its region


def _read(path: Path, rows: Iterable[tuple[str, str, Iterable[Any]]], problems: list[str]) -> Annotations:
    """rows: place, file name and regions."""
    shapes: dict[str, list[Shape]] = defaultdict(list)
    for where, name, regions in rows:
        found, unread = read_each(_shape, ((where, region) for region in regions), "a VIA region")
        shapes[name] += found
        problems += unread
    if problems:
        raise BadInput(problems)
    return Annotations([Picture(name, Drawing(tuple(found)), path) for name, found in shapes.items()])


def _shape(region: Any) -> Shape:
    shape, label = region["shape_attributes"], _label(region.get("region_attributes", {}))
    kind = shape["name"]
    if kind == "polygon":
        corners = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return Shape("polygon", [value for corner in corners for value in corner], label)
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
