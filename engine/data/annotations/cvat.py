"""CVAT's own XML, "CVAT for images"."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.data.annotations.shapes import Annotations, Drawing, Mask, Picture, Shape, ellipse
from engine.data.images import LARGEST_PIXELS


class _NoDoctype(ET.TreeBuilder):
    """Refuses a document type, which could declare entities that fill the memory or read files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BadInput("has a document type (DOCTYPE); expected a file without one")


def load_xml(path: Path) -> ET.Element:
    """The root of an XML file. Raises BadInput in one line."""
    try:
        return ET.parse(path, ET.XMLParser(target=_NoDoctype())).getroot()  # noqa: S314 document types are refused
    except (ET.ParseError, ValueError, LookupError) as error:
        raise BadInput(f"{clean(str(path))}: not XML: {brief(str(error))}") from None
    except BadInput as error:
        raise BadInput(f"{clean(str(path))}: {error}") from None


def is_cvat(root: ET.Element) -> bool:
    """Whether the root is that of a CVAT file."""
    return root.tag == "annotations" and (root.find("image") is not None or root.find("track") is not None)


def read_cvat(path: Path, root: ET.Element) -> Annotations:
    """The pictures of a CVAT file. Raises BadInput with every error."""
    where = clean(str(path))
    if root.find("track") is not None:
        raise BadInput(f"{where}: annotations of a video (track); expected CVAT for images")
    pictures, problems = [], []
    for image in root.iter("image"):
        name = image.get("name", "")
        shapes = []
        for element in image:
            if element.tag == "tag":  # a label of the whole image
                continue
            try:
                shapes.append(_shape(element))
            except (TypeError, ValueError) as error:
                problems.append(f"{where}: {clean(name)}: {clean(element.tag)}: cannot be read: {brief(str(error))}")
        try:
            size = [float(image.attrib[key]) for key in ("width", "height")]
        except (KeyError, ValueError):
            problems.append(f"{where}: {clean(name)}: expected width and height, got {brief(dict(image.attrib))}")
            continue
        pictures.append(Picture(name, Drawing(tuple(shapes), *size), path, image.get("subset", "")))
    if problems:
        raise BadInput(problems)
    return Annotations(pictures)


def _shape(element: ET.Element) -> Shape:
    label = element.get("label", "")
    get = element.attrib.get
    if element.tag == "polygon":
        points = element.get("points", "").split(";")
        return Shape("polygon", [float(value) for point in points for value in point.split(",")], label)
    if element.tag == "ellipse":
        outline = ellipse(get("cx"), get("cy"), get("rx"), get("ry"), get("rotation", 0))
        return Shape("polygon", outline, label)
    if element.tag == "mask":
        left, top, width, height = (int(element.get(key, "")) for key in ("left", "top", "width", "height"))
        return Shape("patch", (left, top, _decode(element.get("rle", ""), height, width)), label)
    return Shape("other", "box" if element.tag == "box" else clean(element.tag), label)


def _decode(text: str, height: int, width: int) -> Mask:
    """CVAT's run lengths along the rows of a box, the first of them background."""
    counts = [int(count) for count in text.split(",")]
    if min(counts) < 0 or sum(counts) != height * width or min(height, width) < 1 or sum(counts) > LARGEST_PIXELS:
        raise ValueError(f"{sum(counts)} pixels in its run lengths; expected {height} x {width}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
