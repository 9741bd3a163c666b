"""Polygons of annotation files: checked, and drawn as masks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

OUTSIDE = 0.5
"""Pixels beyond the edge that are tolerated as rounding."""


def check_polygon(outline: object, width: float, height: float) -> tuple[NDArray[np.float64] | None, str | None]:
    """(corners as rows of x, y, or None where nothing can be drawn; the flaw, or None)."""
    if not isinstance(outline, Sequence) or isinstance(outline, str) or not all(map(_is_number, outline)):
        return None, "is not a list of numbers"
    if len(outline) < 6 or len(outline) % 2:
        return None, f"has {len(outline)} coordinates; expected an even number, at least 6"
    corners = np.asarray(outline, np.float64).reshape(-1, 2)
    if area(corners) == 0.0:
        return None, "has no area"
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (high <= 0).any() or low[0] >= width or low[1] >= height:
        return None, f"lies outside the {width:g} x {height:g} picture"
    if (low < -OUTSIDE).any() or high[0] > width + OUTSIDE or high[1] > height + OUTSIDE:
        return corners, f"reaches beyond the {width:g} x {height:g} picture and was cut at its edge"
    return corners, None


def draw(polygons: Iterable[NDArray[np.float64]], height: int, width: int) -> NDArray[np.bool_]:
    """The union of polygons as (height, width), bool, drawn by COCO's own code.

    Pixel (row, column) covers [column, column + 1) x [row, row + 1). It belongs to the mask where about half of it is
    covered. A polygon too thin for any pixel keeps the one at its centre, so that a positive never becomes a negative.
    """
    from pycocotools import mask as coco

    mask = np.zeros((height, width), bool)
    for corners in polygons:
        drawn = coco.decode(coco.frPyObjects([corners.ravel().tolist()], height, width))[:, :, 0].astype(bool)
        if not drawn.any():
            column, row = np.clip(corners.mean(axis=0).astype(int), 0, (width - 1, height - 1))
            drawn[row, column] = True
        mask |= drawn
    return mask


def area(corners: NDArray[np.float64]) -> float:
    """Area in square pixels (shoelace formula)."""
    x, y = corners[:, 0], corners[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e6
