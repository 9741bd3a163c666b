"""LabelMe: one JSON file beside each image."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.contract.text import clean
from engine.data.images import LARGEST_PIXELS
from engine.prepare.annotations.shapes import Drawing, Mask, Picture, Shape, ellipse, is_number, read_pictures


def is_labelme(document: object) -> bool:
    """Whether a JSON document is LabelMe's."""
    return isinstance(document, dict) and "shapes" in document and "imagePath" in document


def read_labelme(path: Path, document: Any) -> list[Picture]:
    """The picture of a LabelMe file. Its image is the one of the same name beside it, or else the file's imagePath.
    Rectangles are boxes, and lines and points cover no pixels. Raises BadInput with every error."""
    where, listed = clean(str(path)), document["shapes"] if isinstance(document["shapes"], list) else [None]
    items = ((path.stem, f"{where}: shapes[{position}]", shape) for position, shape in enumerate(listed))
    (picture,) = read_pictures(path, [path.stem], items, _shape, "a LabelMe shape")
    size = [value if is_number(value) else None for value in map(document.get, ("imageWidth", "imageHeight"))]
    image = str(document["imagePath"]).replace("\\", "/")
    return [picture._replace(drawing=Drawing(picture.drawing.shapes, *size), other_name=image)]


def _shape(shape: Any) -> Shape:
    kind, points, label = shape.get("shape_type") or "polygon", shape["points"], str(shape["label"])
    if kind == "polygon":
        return Shape("polygon", [value for point in points for value in point], label)
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return Shape("polygon", ellipse(x, y, radius, radius), label)
    if kind == "mask":
        left, top = points[0]
        return Shape("patch", (round(left), round(top), _decode(shape["mask"])), label)
    return Shape("other", "box" if "rectangle" in kind else clean(str(kind)), label)


def _decode(text: str) -> Mask:
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
        if image.width * image.height > LARGEST_PIXELS:
            raise ValueError("mask too large")
        values = np.asarray(image.convert("L"))
    if len(np.unique(values)) > 2:
        raise ValueError("mask of several values")
    return values > 0
