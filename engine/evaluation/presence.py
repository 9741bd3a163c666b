"""Presence scores: one number an image that says how likely it shows a fracture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TOPK_FRACTION = 0.01


def map_scores(probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    """The sources that need nothing but the probability map (padding cut off): max, mean, and the mean of the highest
    1 % of its pixels."""
    flat = probabilities.ravel()
    k = max(1, round(TOPK_FRACTION * flat.size))
    return {
        "max": float(flat.max()),
        "mean": float(flat.mean(dtype=np.float64)),
        "topk_mean": float(np.partition(flat, flat.size - k)[-k:].mean(dtype=np.float64)),
    }
