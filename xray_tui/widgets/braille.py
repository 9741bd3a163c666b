"""Line charts of braille characters, with 2 x 4 dots per cell. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot in a braille character, by row and column."""
_BLANK = 0x2800


@dataclass(frozen=True, slots=True)
class Range:
    """The range of values on an axis."""

    low: float
    high: float

    def place(self, value: float, cells: int) -> int:
        """The index of the value among `cells` positions, counted from the low end."""
        span = self.high - self.low
        if not 0 < span < math.inf:
            return cells // 2
        share = min(1.0, max(0.0, (value - self.low) / span))  # this order maps NaN to 0
        return round(share * (cells - 1))


def range_of(values: Sequence[float]) -> Range:
    """The range from the lowest to the highest value, widened if they are equal."""
    low, high = min(values), max(values)
    if low == high:
        space = abs(low) * 0.1 or 0.5
        return Range(low - space, high + space)
    return Range(low, high)


def plot(points: Points, width: int, height: int, x: Range, y: Range, apart: float = math.inf) -> list[str]:
    """The points joined by lines, as `height` rows of `width` cells, top row first. Points further than `apart` on the
    x axis are not joined."""
    cells = [[0] * width for _ in range(height)]
    across, down = width * 2, height * 4
    before: tuple[int, int] | None = None
    last = -math.inf
    for point in points:
        if point[0] - last > apart:
            before = None
        last = point[0]
        at = x.place(point[0], across), down - 1 - y.place(point[1], down)
        for dot in _between(before or at, at):
            cells[dot[1] // 4][dot[0] // 2] |= _DOTS[dot[1] % 4][dot[0] % 2]
        before = at
    return ["".join(chr(_BLANK + cell) if cell else " " for cell in row) for row in cells]


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots on the straight line from start to end, both included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (start[0] + round((end[0] - start[0]) * step / steps), start[1] + round((end[1] - start[1]) * step / steps))
        for step in range(steps + 1)
    ]
