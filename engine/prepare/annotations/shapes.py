"""Annotations as every format has them: pictures with shapes, not yet drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean

Mask = NDArray[np.bool_]
T = TypeVar("T")

CORNERS = 72
"""Corners of the polygon that stands for an ellipse."""


class Flaw(NamedTuple):
    """Something unusual about the data that is listed and does not stop the preparation: (kind, line)."""

    kind: str
    line: str
    lost: int = 0
    """The number of annotations that are in the source and not in the masks."""


class Shape(NamedTuple):
    """One annotated area, as in its file; it is checked when it is drawn.

    data by kind: polygon: x, y, x, y … in pixels. fractions: the same as fractions of the picture. rle: a COCO object
    with `size` and `counts`. runs: such counts without the background after the last run. patch: (left, top,
    bool array). other: a word for what covers no pixels, such as `box`.
    """

    kind: Literal["polygon", "fractions", "rle", "runs", "patch", "other"]
    data: Any
    label: str = ""
    """The category; empty where the file has no categories."""
    ignore: bool = False
    """Whether the pixels are neither fracture nor background (COCO's iscrowd)."""


class Drawing(NamedTuple):
    """The shapes of one image and the size of the annotated picture, if the file has it."""

    shapes: tuple[Shape, ...]
    width: float | None = None
    height: float | None = None


class Picture(NamedTuple):
    """One image as an annotation file describes it."""

    name: str
    """The file name or path in the annotation file, with or without its suffix."""
    drawing: Drawing
    file: Path
    """The annotation file."""
    split: str = ""
    """The split as the file spells it, or empty."""
    other_name: str = ""
    """Another name for an image that `name` does not match."""


def read_pictures(
    path: Path,
    names: Iterable[str],
    items: Iterable[tuple[str, str, T]],
    read: Callable[[T], Shape],
    what: str,
    problems: Iterable[str] = (),
) -> list[Picture]:
    """A picture of each name. items: the name of a picture, a place for messages, and what `read` makes a shape of.
    Raises BadInput with `problems` and a line for each item that is not `what` was expected."""
    shapes: dict[str, list[Shape]] = {name: [] for name in names}
    problems = list(problems)
    for name, where, item in items:
        try:
            shapes[name].append(read(item))
        except (TypeError, ValueError, LookupError, AttributeError, OSError) as error:
            problems.append(f"{where}: expected {what}, got {brief(item)} ({clean(str(error))[:80]})")
    if problems:
        raise BadInput(problems)
    return [Picture(name, Drawing(tuple(found)), path) for name, found in shapes.items()]


def from_counts(counts: Sequence[int]) -> Mask:
    """Run lengths as a flat array, the first of them background."""
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def ellipse(x: Any, y: Any, radius_x: Any, radius_y: Any, degrees: Any = 0) -> list[float]:
    """The outline of an ellipse around (x, y) as a flat polygon; degrees: its rotation, clockwise on the screen. Raises
    ValueError and TypeError where an argument is no number."""
    angles = np.linspace(0, 2 * math.pi, CORNERS, endpoint=False)
    across, down = float(radius_x) * np.cos(angles), float(radius_y) * np.sin(angles)
    turn = math.radians(float(degrees))
    columns = float(x) + across * math.cos(turn) - down * math.sin(turn)
    rows = float(y) + across * math.sin(turn) + down * math.cos(turn)
    return [float(value) for value in np.stack([columns, rows], axis=1).ravel()]


def is_number(value: object) -> bool:
    """Whether a value from JSON is a finite number of a plausible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e6
