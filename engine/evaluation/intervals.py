"""95 % percentile bootstrap intervals over images, or over groups (patients) where the manifest has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.evaluation.metrics import Confusion, presence_metrics, segmentation_metrics
from engine.progress import Progress

SHOWN = ("dice_pos", "iou_pos", "roc_auc_presence", "average_precision_presence", "precision_pos", "recall_pos", "dice")
LEVELS = (2.5, 97.5)


def intervals(
    counts: Confusion | None,
    scores: npt.NDArray[np.float64],
    fractured: npt.NDArray[np.bool_],
    groups: Sequence[str | None],
    resamples: int,
    seed: int = 0,
) -> dict[str, list[float]]:
    """{metric: [low, high]} of the metrics in SHOWN, without `counts` those of presence alone; a metric that most
    resamples lack is left out.

    Images are drawn with replacement, positives and negatives apart, so that AUC and AP exist in every resample; groups
    are drawn whole (Efron & Tibshirani 1993, chapter 13).
    """
    if not resamples:
        return {}
    generator = np.random.default_rng(seed)
    units = _units(fractured, groups)
    drawn: dict[str, list[float]] = {name: [] for name in SHOWN}
    with Progress("bootstrap", resamples, "resamples") as progress:
        for _ in range(resamples):
            chosen = _resample(units, generator)
            metrics = presence_metrics(scores[chosen], fractured[chosen])
            if counts is not None:
                metrics |= segmentation_metrics(counts[chosen])
            for name in SHOWN:
                if name in metrics:
                    drawn[name].append(metrics[name])
            progress.advance()
    return {
        name: [float(level) for level in np.percentile(values, LEVELS)]
        for name, values in drawn.items()
        if len(values) > resamples / 2
    }


def _units(fractured: npt.NDArray[np.bool_], groups: Sequence[str | None]) -> list[list[npt.NDArray[np.int64]]]:
    """Strata of units; a unit is the images that are drawn together."""
    if any(group is not None for group in groups):
        names = [group if group is not None else f"\0{place}" for place, group in enumerate(groups)]
        _, unit_of = np.unique(names, return_inverse=True)
        return [[np.flatnonzero(unit_of == unit) for unit in range(unit_of.max() + 1)]]
    return [[np.array([place]) for place in np.flatnonzero(fractured == flag)] for flag in (True, False)]


def _resample(strata: list[list[npt.NDArray[np.int64]]], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    drawn = [units[place] for units in strata if units for place in generator.integers(len(units), size=len(units))]
    return np.concatenate(drawn)
