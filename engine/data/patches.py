"""Where patches are cut from an image: at its fracture, at strong edges, or anywhere. Imports no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.contract.data import PatchConfig

POSITIONS = 64
"""Positions of each kind that are kept for an image."""
STRONG = 0.05
"""Share of the pixels, those with the largest gradients, that count as strong edges."""
PATCH_NUMBERS = 5
"""Random numbers per patch."""
MARGIN = 0.125
"""Share of a patch at each side that its chosen position avoids."""

Coordinates = npt.NDArray[np.int16]
_NONE = -1


def find_positions(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Coordinates:
    """Positions in an image (S, S), from its pixels and its mask alone: (2 * POSITIONS + 1, 2), rows and columns.

    First come positions drawn uniformly from the fracture, then positions on strong edges, -1 each without
    any; the last entry is the extent of what is not black, beyond which there is padding below and to the right.
    """
    rows, columns = _extent((image > 0) | mask)
    content = image[:rows, :columns].astype(np.float32)
    gradient = np.zeros(content.shape, np.float32)
    for axis in (0, 1):  # only inside the content: its border with the padding is no edge
        if content.shape[axis] > 1:
            gradient += np.gradient(content, axis=axis) ** 2
    strong = gradient >= np.quantile(gradient, 1 - STRONG)
    random = np.random.default_rng(0)
    return np.concatenate(
        [_drawn(mask, random), _drawn(strong & (gradient > 0), random), [[rows, columns]]], dtype=np.int16
    )


def corner(positions: Coordinates, config: PatchConfig, numbers: npt.NDArray[np.float32]) -> tuple[int, int]:
    """(first row, first column) of the patch that the random numbers of a sample, PATCH_NUMBERS from 0 to 1, choose.

    A patch of a positive lies on its fracture with the chance `on_positive`; any other patch lies on a strong edge with
    the chance `on_hard_negative`, or anywhere. The chosen position varies within the patch, so that the network does
    not learn to look at its centre. A patch reaches into padding only where the image is smaller than the patch.
    """
    fracture, edges, extent = positions[:POSITIONS], positions[POSITIONS:-1], positions[-1].astype(int)
    fracture_draw, edge_draw, which = numbers[:3].tolist()
    where = numbers[3:].astype(float)
    if fracture_draw < config.on_positive and fracture[0, 0] != _NONE:
        position = fracture[int(which * POSITIONS)]
    elif edge_draw < config.on_hard_negative and edges[0, 0] != _NONE:
        position = edges[int(which * POSITIONS)]
    else:
        row, column = (where * (np.maximum(0, extent - config.size) + 1)).astype(int).tolist()
        return row, column
    before = ((MARGIN + (1 - 2 * MARGIN) * where) * config.size).astype(int)
    row, column = np.maximum(0, np.minimum(position - before, extent - config.size)).tolist()
    return row, column


def _extent(content: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """(rows, columns) from the upper left corner that contain all content; everything where there is no content."""
    if not content.any():
        return content.shape[0], content.shape[1]
    rows, columns = (np.flatnonzero(content.any(axis))[-1] + 1 for axis in (1, 0))
    return int(rows), int(columns)


def _drawn(positions: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.int64]:
    candidates = np.argwhere(positions)
    if not len(candidates):
        return np.full((POSITIONS, 2), _NONE, np.int64)
    return candidates[random.integers(len(candidates), size=POSITIONS)]
