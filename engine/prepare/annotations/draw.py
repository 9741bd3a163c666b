"""Masks from annotated shapes, drawn by COCO's own code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.contract.text import brief
from engine.data.images import IGNORED, Labels
from engine.prepare.annotations.shapes import Drawing, Flaw, Mask, Shape, from_counts, is_number

OUTSIDE = 0.5
"""Pixels beyond the edge that are tolerated as rounding."""

NAMES = {"rle": "run-length mask", "runs": "run-length mask", "patch": "mask", "fractions": "polygon", "other": "shape"}


def draw_shapes(drawing: Drawing, height: int, width: int, name: str) -> tuple[Labels, list[Flaw]]:
    """(the union of the shapes, flaws). A pixel that is both fracture and ignored is fracture. name: the image, for
    flaws."""
    mask, ignore, flaws = np.zeros((height, width), bool), np.zeros((height, width), bool), []
    for position, shape in enumerate(drawing.shapes, 1):
        area: Mask | None = None
        try:
            area, flaw = _draw_shape(shape, height, width)
            np.logical_or(ignore if shape.ignore else mask, area, out=ignore if shape.ignore else mask)
        except ValueError as error:
            flaw = str(error)
        if flaw:
            noun = NAMES.get(shape.kind, shape.kind)
            lost = area is None
            kind = "box" if shape == Shape("other", "box", shape.label, shape.ignore) else noun.split()[-1]
            flaws.append(Flaw(kind, f"{name}: {noun} {position} {flaw}{', left out' * lost}", int(lost)))
    ignore &= ~mask
    if not ignore.any():
        return mask, flaws
    line = f"{name}: {int(ignore.sum()):,} pixels are annotated as a crowd (iscrowd)"
    return np.where(ignore, IGNORED, mask).astype(np.int8), [*flaws, Flaw("ignored", line)]


def _draw_shape(shape: Shape, height: int, width: int) -> tuple[Mask, str | None]:
    """(the pixels, the flaw or None). Raises ValueError with the flaw where nothing can be drawn."""
    data: Any = shape.data
    if shape.kind == "other":
        raise ValueError(f"is a {data}; expected an outline or a mask")
    if shape.kind in ("polygon", "fractions"):
        if shape.kind == "fractions" and isinstance(data, list):
            data = [value * (height if i % 2 else width) if is_number(value) else value for i, value in enumerate(data)]
        corners, flaw = check_polygon(data, width, height)
        if corners is None:
            raise ValueError(flaw)
        return draw(corners, height, width), flaw
    if shape.kind == "patch":
        area = _paste(data[0], data[1], data[2], height, width)
    else:
        if shape.kind == "runs":
            data = {"size": [height, width], "counts": [*data, max(height * width - sum(data), 0)]}
        area = from_counts(_counts(data, height, width)).reshape(width, height).T
    if not area.any():
        raise ValueError("is empty")
    return area, None


def check_polygon(outline: object, width: float, height: float) -> tuple[NDArray[np.float64] | None, str | None]:
    """(corners as rows of x, y, or None where nothing can be drawn; the flaw, or None)."""
    if not isinstance(outline, Sequence) or isinstance(outline, str) or not all(map(is_number, outline)):
        return None, "is not a list of numbers"
    if len(outline) < 6 or len(outline) % 2:
        return None, f"has {len(outline)} coordinates; expected an even number, at least 6"
    corners = np.asarray(outline, np.float64).reshape(-1, 2)
    x, y = corners.T
    if np.dot(x, np.roll(y, -1)) == np.dot(y, np.roll(x, -1)) and not _crosses_itself(corners):  # shoelace formula
        return None, "has no area"
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (high <= 0).any() or low[0] >= width or low[1] >= height:
        return None, f"lies outside the {width:g} x {height:g} picture"
    if (low < -OUTSIDE).any() or high[0] > width + OUTSIDE or high[1] > height + OUTSIDE:
        return corners, f"reaches beyond the {width:g} x {height:g} picture and was cut at its edge"
    return corners, None


def _crosses_itself(corners: NDArray[np.float64]) -> bool:
    """Whether an outline without signed area covers pixels after all, as a figure of eight does."""
    return bool(np.linalg.matrix_rank(corners - corners[0]) == 2)


def draw(corners: NDArray[np.float64], height: int, width: int) -> Mask:
    """A polygon as (height, width), bool, drawn by COCO's own code.

    Pixel (row, column) covers [column, column + 1) x [row, row + 1). It belongs to the mask where about half of it is
    covered. A polygon too thin for any pixel keeps the one at its centre, so that a positive never becomes a negative.
    """
    from pycocotools import mask as coco

    drawn: Mask = coco.decode(coco.frPyObjects([corners.ravel().tolist()], height, width))[:, :, 0].astype(bool)
    if not drawn.any():
        column, row = np.clip(corners.mean(axis=0).astype(int), 0, (width - 1, height - 1))
        drawn[row, column] = True
    return drawn


def _counts(data: Any, height: int, width: int) -> list[int]:
    """The counts of a COCO object. Raises ValueError where they do not fill the picture: pycocotools decodes such
    counts to garbage."""
    size, counts = data.get("size"), data.get("counts")
    if size != [height, width]:
        raise ValueError(f"has size {brief(size)}; expected [{height}, {width}] (height, width)")
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("has malformed counts; expected whole numbers, or COCO's compressed text")
    if sum(counts) != height * width:
        raise ValueError(f"has counts of {brief(sum(counts))} pixels; expected {height} x {width} = {height * width}")
    return counts


def _uncompressed(text: str) -> list[int] | None:
    """COCO's compressed counts as numbers, or None where the text is damaged. The inverse of rleToString of
    pycocotools: five bits a character, the lowest first; from the third count on, differences to the count before the
    last."""
    counts: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return None if shift else counts


def _paste(left: int, top: int, patch: Mask, height: int, width: int) -> Mask:
    area = np.zeros((height, width), bool)
    rows, columns = patch.shape
    if min(left, top) < 0 or top + rows > height or left + columns > width:
        raise ValueError(f"of {columns} x {rows} pixels at {left}, {top} reaches beyond the {width} x {height} picture")
    area[top : top + rows, left : left + columns] = patch
    return area
