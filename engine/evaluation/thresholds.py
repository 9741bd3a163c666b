"""Thresholds: a grid, and the best of it on validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.evaluation.metrics import EPSILON

STEP = 0.01
GRID: npt.NDArray[np.float64] = np.round(np.arange(STEP, 1.0, STEP), 6)

Counts = npt.NDArray[np.int64]


def mean_dice_pos(tp: Counts, fp: Counts, fn: Counts) -> npt.NDArray[np.float64]:
    """Mean Dice over positive images at every threshold: (N, T) counts -> (T,); zeros without a positive image."""
    positive = (tp[:, 0] + fn[:, 0]) > 0
    if not positive.any():
        return np.zeros(tp.shape[1])
    tp, fp, fn = tp[positive], fp[positive], fn[positive]
    dice = (2 * tp + EPSILON) / (2 * tp + fp + fn + EPSILON)
    return np.asarray(dice.mean(0))


def best_threshold(tp: Counts, fp: Counts, fn: Counts) -> int:
    """The place in the grid with the highest mean Dice over positives; of equals the one nearest to the middle."""
    dice = mean_dice_pos(tp, fp, fn)
    best = np.flatnonzero(dice >= dice.max() - 1e-12)
    return int(best[np.argmin(np.abs(best - (len(dice) - 1) / 2))])
