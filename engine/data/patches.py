"""Where patches of an image are cut: places in its fracture and where edges are strong, found once an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.contract.data import PatchConfig

PLACES = 64
"""Of each kind that are kept for an image."""
STRONG = 0.05
"""Share of the pixels, those with the largest gradients, that count as strong edges."""
NUMBERS = 5
"""Random numbers that one patch needs."""
MARGIN = 0.125
"""Share of a patch on each side in which the place it was cut for does not lie."""

Coordinates = npt.NDArray[np.int16]
_NONE = -1


class PlacesOf(NamedTuple):
    """Those of one image."""

    fracture: Coordinates
    """(PLACES, 2): rows and columns, evenly drawn from its pixels; all -1 where there is none."""
    edges: Coordinates
    """(PLACES, 2): the same where edges are strong."""
    extent: Coordinates
    """(2,): rows and columns of what is not black; the rest, below and to the right, is padding."""


@dataclass(frozen=True, slots=True)
class Places:
    """Those of the images of a split, in their order."""

    table: Coordinates
    """(N, 2 * PLACES + 1, 2)."""

    def __getitem__(self, index: int) -> PlacesOf:
        row = self.table[index]
        return PlacesOf(row[:PLACES], row[PLACES:-1], row[-1])


def table_shape(images: int) -> tuple[int, int, int]:
    """Of the table that `find_places` fills row by row."""
    return images, 2 * PLACES + 1, 2


def find_places(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Coordinates:
    """One row of the table, of an image and its mask, (S, S) each. It depends on their pixels alone."""
    rows, columns = _extent((image > 0) | mask)
    content = image[:rows, :columns].astype(np.float32)
    gradient = np.zeros(content.shape, np.float32)
    for axis in (0, 1):  # inside the content only: its border with the padding is no edge of anything
        if content.shape[axis] > 1:
            gradient += np.gradient(content, axis=axis) ** 2
    strong = gradient >= np.quantile(gradient, 1 - STRONG)
    random = np.random.default_rng(0)
    return np.concatenate(
        [_drawn(mask, random), _drawn(strong & (gradient > 0), random), [[rows, columns]]], dtype=np.int16
    )


def corner(places: PlacesOf, config: PatchConfig, numbers: npt.NDArray[np.float32]) -> tuple[int, int]:
    """(first row, first column) of the patch that a sample's random numbers, NUMBERS of them from 0 to 1, choose.

    On a place in the fracture by the chance `on_positive`; of the others on a strong edge by `on_hard_negative`, and
    anywhere else. The place lies somewhere in the patch, not in its middle: a network would learn to look there. No
    patch reaches into padding, but where the image is smaller than it.
    """
    wants_fracture, wants_edge, which, down, across = (float(number) for number in numbers)
    if wants_fracture < config.on_positive and places.fracture[0, 0] != _NONE:
        place = places.fracture[int(which * PLACES)]
    elif wants_edge < config.on_hard_negative and places.edges[0, 0] != _NONE:
        place = places.edges[int(which * PLACES)]
    else:
        row, column = (int(number * (max(0, int(length) - config.size) + 1))
                       for number, length in zip((down, across), places.extent, strict=True))  # fmt: skip
        return row, column
    first = []
    for at, length, number in zip(place, places.extent, (down, across), strict=True):
        before = int((MARGIN + (1 - 2 * MARGIN) * number) * config.size)
        first.append(max(0, min(int(at) - before, int(length) - config.size)))
    return first[0], first[1]


def _extent(content: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """(rows, columns) from the upper left corner that hold all of the content; of nothing: everything."""
    if not content.any():
        return content.shape[0], content.shape[1]
    rows, columns = (np.flatnonzero(content.any(axis))[-1] + 1 for axis in (1, 0))
    return int(rows), int(columns)


def _drawn(places: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.int64]:
    found = np.argwhere(places)
    if not len(found):
        return np.full((PLACES, 2), _NONE, np.int64)
    return found[random.integers(len(found), size=PLACES)]
