"""Presence scores: one number per image for the likelihood of a fracture.

A new score of the probability map is one function here with a decorator, and its name in engine/contract/names.py,
where configs and forms find it. Of scores that are equally good on validation the first one here is chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

TOPK_FRACTION = 0.01

HEAD = "cls"
"""The network's own probability, from its classification head or a classifier. It is not a function of the map."""

MapScore = Callable[[npt.NDArray[np.float32]], float]
AreaScore = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float64]]

OF_MAP: dict[str, MapScore] = {}
"""Scores of the probability map (rows, columns), without padding."""
OF_AREA: dict[str, AreaScore] = {}
"""Scores of the predicted mask, which depend on the threshold: (predicted pixels, pixels of the map) -> score."""


def of_map(name: str) -> Callable[[MapScore], MapScore]:
    """Decorates a score of the probability map, (rows, columns) -> number."""

    def register(score: MapScore) -> MapScore:
        OF_MAP[name] = score
        return score

    return register


def of_area(name: str) -> Callable[[AreaScore], AreaScore]:
    """Decorates a score of the predicted mask's size; its arguments are arrays that broadcast."""

    def register(score: AreaScore) -> AreaScore:
        OF_AREA[name] = score
        return score

    return register


@of_map("max")
def largest(probabilities: npt.NDArray[np.float32]) -> float:
    return float(probabilities.max())


@of_map("topk_mean")
def topk_mean(probabilities: npt.NDArray[np.float32]) -> float:
    """The mean of the highest 1 % of the pixels."""
    flat = probabilities.ravel()
    k = max(1, round(TOPK_FRACTION * flat.size))
    return float(np.partition(flat, flat.size - k)[-k:].mean(dtype=np.float64))


@of_map("mean")
def mean(probabilities: npt.NDArray[np.float32]) -> float:
    return float(probabilities.mean(dtype=np.float64))


@of_area("pred_area")
def predicted_share(predicted: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The predicted share of the map."""
    return predicted / pixels


def map_scores(probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    """All scores of a probability map."""
    return {name: score(probabilities) for name, score in OF_MAP.items()}


def without_head() -> tuple[str, ...]:
    """The scores that every map has, in the order in which equal ones are chosen."""
    return (*OF_MAP, *OF_AREA)
