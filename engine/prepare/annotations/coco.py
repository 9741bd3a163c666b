"""COCO: polygons, run lengths and crowds, as CVAT, Roboflow, Label Studio, FiftyOne and makesense.ai write them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.contract.errors import BadInput
from engine.contract.load import validate
from engine.contract.text import clean
from engine.prepare.annotations.shapes import Drawing, Picture, Shape, is_number

LARGEST_JSON = 1 << 30


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None


class _Annotation(BaseModel):
    image_id: int | str
    segmentation: Any = None
    category_id: int | str | None = None
    iscrowd: Any = 0


class _Category(BaseModel):
    id: int | str
    name: int | str


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category] = []


def load_json(path: Path) -> object:
    """The JSON document of an annotation file. Raises BadInput in one line."""
    name = clean(str(path))
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise BadInput(f"{name}: larger than {LARGEST_JSON >> 30} GiB; expected an annotation file")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}: not JSON: {clean(str(error))[:120]}") from None


def is_coco(document: object) -> bool:
    """Whether a JSON document is a COCO file of objects."""
    return isinstance(document, dict) and "images" in document and "annotations" in document


def read_coco(path: Path, document: Any) -> list[Picture]:
    """The pictures of a COCO document. Ids are compared as text and only within this file; an id that two images share
    is an error, because nothing says whose annotations they are. Annotations of other ids become pictures that match no
    image. Raises BadInput with every error."""
    name = clean(str(path))
    if not is_coco(document):
        raise BadInput(f"{name}: expected a COCO file with images and annotations")
    coco = validate(_Coco, document, name)
    copies = [key for key, count in Counter(str(image.id) for image in coco.images).items() if count > 1]
    if copies:
        files = {key: [clean(image.file_name) for image in coco.images if str(image.id) == key] for key in copies[:12]}
        lines = [f"{name}: images: id {clean(key)} belongs to {', '.join(found)}" for key, found in files.items()]
        raise BadInput([*lines, f"{name}: {len(copies)} ids belong to several images; expected an id for each image"])
    labels = {str(category.id): str(category.name) for category in coco.categories}
    listed = {str(image.id): image for image in coco.images}
    shapes: dict[str, list[Shape]] = {key: [] for key in listed}
    for annotation in coco.annotations:
        category = annotation.category_id
        label = labels.get(str(category), f"category {category}") if category is not None else ""
        found = _shapes(annotation.segmentation, label, annotation.iscrowd not in (0, "0", None))
        shapes.setdefault(str(annotation.image_id), []).extend(found)
    pictures = []
    for key, found in shapes.items():
        image = listed.get(key) or _Image(id=key, file_name=f"image_id {key[:80]} (not among the file's images)")
        pictures.append(Picture(image.file_name, Drawing(tuple(found), image.width, image.height), path))
    return pictures


def _shapes(segmentation: Any, label: str, ignore: bool) -> list[Shape]:
    if isinstance(segmentation, dict):
        return [Shape("rle", segmentation, label, ignore)]
    if not segmentation:
        return [Shape("other", "box", label, ignore)]
    if not isinstance(segmentation, list) or is_number(segmentation[0]):
        segmentation = [segmentation]  # one polygon that is not wrapped in a list
    return [Shape("rle" if isinstance(part, dict) else "polygon", part, label, ignore) for part in segmentation]
