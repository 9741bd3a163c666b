"""CVAT's own XML, "CVAT for images"."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.data.images import LARGEST_PIXELS
from engine.prepare.annotations.shapes import Drawing, Mask, Picture, Shape, ellipse, from_counts, read_pictures


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


def read_cvat(path: Path, root: ET.Element) -> list[Picture]:
    """The pictures of a CVAT file. Raises BadInput with every error."""
    where = clean(str(path))
    if root.find("track") is not None:
        raise BadInput(f"{where}: annotations of a video (track); expected CVAT for images")
    items, problems, sizes, subsets = [], [], {}, {}
    for image in root.iter("image"):
        name = image.get("name", "")
        place, subsets[name] = f"{where}: {clean(name)}", image.get("subset", "")
        items += [(name, place, (element.tag, element.attrib)) for element in image if element.tag != "tag"]
        try:
            sizes[name] = [float(image.attrib[key]) for key in ("width", "height")]
        except (KeyError, ValueError):
            problems.append(f"{place}: expected width and height, got {brief(dict(image.attrib))}")
    pictures = read_pictures(path, subsets, items, _shape, "a CVAT shape", problems)
    return [p._replace(drawing=Drawing(p.drawing.shapes, *sizes[p.name]), split=subsets[p.name]) for p in pictures]


def _shape(element: tuple[str, Mapping[str, str]]) -> Shape:
    tag, values = element
    label = values.get("label", "")
    if tag == "polygon":
        return Shape("polygon", [float(v) for point in values["points"].split(";") for v in point.split(",")], label)
    if tag == "ellipse":
        x, y, radius_x, radius_y = (values[key] for key in ("cx", "cy", "rx", "ry"))
        return Shape("polygon", ellipse(x, y, radius_x, radius_y, values.get("rotation", 0)), label)
    if tag == "mask":
        left, top, width, height = (int(values[key]) for key in ("left", "top", "width", "height"))
        return Shape("patch", (left, top, _decode(values["rle"], height, width)), label)
    return Shape("other", "box" if tag == "box" else clean(tag), label)


def _decode(text: str, height: int, width: int) -> Mask:
    """CVAT's run lengths along the rows of a box."""
    counts = [int(count) for count in text.split(",")]
    if min(counts) < 0 or sum(counts) != height * width or min(height, width) < 1 or sum(counts) > LARGEST_PIXELS:
        raise ValueError(f"{sum(counts)} pixels in its run lengths; expected {height} x {width}")
    return from_counts(counts).reshape(height, width)
