"""Pixel counts of one image at many thresholds, in one pass over its probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = 65535
"""Probabilities are kept as 16-bit integers: p = level / 65535."""

Levels = npt.NDArray[np.uint16]


def quantise(probabilities: npt.NDArray[np.float32]) -> Levels:
    """0…1 -> 0…65535, rounded."""
    return np.rint(np.clip(probabilities, 0, 1) * LEVELS).astype(np.uint16)


def dequantise(levels: Levels) -> npt.NDArray[np.float32]:
    """0…65535 -> 0…1."""
    return levels.astype(np.float32) / np.float32(LEVELS)


def first_level(thresholds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The lowest level that is at or above each threshold."""
    return np.clip(np.ceil(np.asarray(thresholds, np.float64) * LEVELS - 1e-6), 0, LEVELS + 1).astype(np.int64)


def counts_at(
    levels: Levels, mask: npt.NDArray[np.bool_], thresholds: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(tp, fp, fn) at every threshold, arrays (T,); a pixel is predicted where p >= threshold.

    A histogram of the levels inside and outside the mask, summed from above: the cost does not depend on T.
    """
    first = first_level(thresholds)
    inside = np.bincount(levels[mask], minlength=LEVELS + 2)
    everywhere = np.bincount(levels.ravel(), minlength=LEVELS + 2)
    at_or_above = np.cumsum(everywhere[::-1])[::-1]
    tp = np.cumsum(inside[::-1])[::-1][first]
    return tp, at_or_above[first] - tp, int(mask.sum()) - tp
