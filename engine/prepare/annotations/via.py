"""VGG Image Annotator (versions 1 and 2), and the VGG export of makesense.ai: JSON, a project, or CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.contract.text import brief, clean
from engine.data.tables import read_table
from engine.prepare.annotations.shapes import Picture, Shape, ellipse, read_pictures

COLUMNS = ("filename", "region_shape_attributes")
PROJECT = "_via_img_metadata"
LABELS = ("label", "class", "name", "type", "category")


def is_via(document: object) -> bool:
    """Whether a JSON document is VIA's: a project, or images with regions."""
    if isinstance(document, dict) and PROJECT in document:
        return True
    images = list(document.values())[:1] if isinstance(document, dict) else []
    return bool(images) and isinstance(images[0], dict) and {"filename", "regions"} <= images[0].keys()


def read_via(path: Path, document: Any) -> list[Picture]:
    """The pictures of a VIA document. Raises BadInput with every error."""
    images = document.get(PROJECT, document)
    names, items, problems = [], [], []
    for key, image in images.items() if isinstance(images, dict) else [("", images)]:
        where = f"{clean(str(path))}: {clean(key)[:80]}"
        name, regions = (image.get("filename"), image.get("regions")) if isinstance(image, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(regions, dict | list):
            problems.append(f"{where}: expected an object with filename and regions, got {brief(image)}")
            continue
        names.append(name)
        items += [(name, where, region) for region in (regions.values() if isinstance(regions, dict) else regions)]
    return read_pictures(path, names, items, _shape, "a VIA region", problems)


def read_via_csv(path: Path) -> list[Picture]:
    """The pictures of VIA's CSV export. Raises BadInput with every error."""
    table = read_table(path, COLUMNS)
    items = []
    for line, row in table.to_dict("index").items():
        shape, attributes = _json(row["region_shape_attributes"]), _json(row.get("region_attributes") or "{}")
        if shape != {}:  # the line of an image without regions
            region = {"shape_attributes": shape, "region_attributes": attributes}
            items.append((row["filename"], f"{clean(str(path))}: line {line}", region))
    return read_pictures(path, table["filename"], items, _shape, "a VIA region")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # no object: a problem of its region


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
    if len(named) > 1:
        named = {key: named[key] for key in LABELS if key in named}
    value = next(iter(named.values()), "")  # a check box is an object: {"fracture": true}
    return ", ".join(key for key, on in value.items() if on) if isinstance(value, dict) else str(value)
