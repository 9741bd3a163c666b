"""Metrics as functions of per-image counts and presence scores, and their bootstrap intervals.

`tp`, `fp`, `fn` are pixels of an image, int arrays (N,). An image is positive where its mask has a pixel (tp + fn > 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.process.progress import Progress

EPSILON = 1e-6
SPECIFICITY = 0.9

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

INTERVAL_METRICS = (
    "dice_pos",
    "iou_pos",
    "roc_auc_presence",
    "average_precision_presence",
    "precision_pos",
    "recall_pos",
    "dice",
)
PERCENTILES = (2.5, 97.5)
LARGEST_CHUNK = 1 << 17
"""Resamples times images of the arrays that a bootstrap holds at once."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pixel counts of each image at one threshold, (N,), or at several, (N, T)."""

    tp: Counts
    fp: Counts
    fn: Counts
    pixels: Counts
    """(N,): pixels of the image that count: rows times columns, less the ignored ones."""

    def __getitem__(self, chosen: npt.NDArray[np.generic]) -> Confusion:
        return Confusion(self.tp[chosen], self.fp[chosen], self.fn[chosen], self.pixels[chosen])

    def at(self, index: int) -> Confusion:
        """The counts at one of several thresholds."""
        return Confusion(self.tp[:, index], self.fp[:, index], self.fn[:, index], self.pixels)

    @property
    def positive(self) -> npt.NDArray[np.bool_]:
        return self.tp + self.fn > 0

    def gated(self, passes: npt.NDArray[np.bool_]) -> Confusion:
        """The counts with the masks of images that do not pass emptied."""
        return Confusion(
            np.where(passes, self.tp, 0),
            np.where(passes, self.fp, 0),
            np.where(passes, self.fn, self.tp + self.fn),
            self.pixels,
        )


def dice_per_image(counts: Confusion) -> Floats:
    """(2 tp + eps) / (2 tp + fp + fn + eps): 1 where mask and prediction are both empty."""
    return (2 * counts.tp + EPSILON) / (2 * counts.tp + counts.fp + counts.fn + EPSILON)


def iou_per_image(counts: Confusion) -> Floats:
    """(tp + eps) / (tp + fp + fn + eps): 1 where mask and prediction are both empty."""
    return (counts.tp + EPSILON) / (counts.tp + counts.fp + counts.fn + EPSILON)


def segmentation_metrics(counts: Confusion) -> dict[str, float]:
    """All mask metrics. Those over positive images are left out without such an image, and a precision without a
    predicted pixel."""
    dice, iou, positive = dice_per_image(counts), iou_per_image(counts), counts.positive
    metrics = {"dice": dice.mean(), "iou": iou.mean()}
    tp, fp, fn = (int(values.sum()) for values in (counts.tp, counts.fp, counts.fn))
    if tp + fp:
        metrics["precision_pos"] = tp / (tp + fp)
    if tp + fn:
        metrics["recall_pos"] = tp / (tp + fn)
    if positive.any():
        of_positives = counts[positive]
        predicted = of_positives.tp + of_positives.fp > 0
        metrics["dice_pos"] = dice[positive].mean()
        metrics["iou_pos"] = iou[positive].mean()
        metrics["dice_pos_median"] = np.median(dice[positive])
        metrics["recall_pos_mean"] = (of_positives.tp / (of_positives.tp + of_positives.fn)).mean()
        if predicted.any():
            shown = of_positives[predicted]
            metrics["precision_pos_mean"] = (shown.tp / (shown.tp + shown.fp)).mean()
        metrics["missed_pos"] = (of_positives.tp == 0).mean()
    if not positive.all():
        negatives = counts[~positive]
        metrics["fp_area_neg"] = (negatives.fp / negatives.pixels).mean()
    return {name: float(value) for name, value in metrics.items()}


def presence_metrics(scores: Floats, fractured: npt.NDArray[np.bool_]) -> dict[str, float]:
    """ROC-AUC and average precision as scikit-learn defines them; empty where a class is missing."""
    if fractured.all() or not fractured.any():
        return {}
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc_presence": float(roc_auc_score(fractured, scores)),
        "average_precision_presence": float(average_precision_score(fractured, scores)),
    }


def roc_auc_columns(scores: npt.NDArray[np.floating], fractured: npt.NDArray[np.bool_]) -> Floats:
    """The ROC-AUC of every column of scores (N, T), (T,): the Mann-Whitney U of mean ranks, equal to scikit-learn's and
    hundreds of times faster than one call per column. NaN where a class is missing."""
    from scipy.stats import rankdata

    positives, negatives = int(fractured.sum()), int((~fractured).sum())
    if not positives or not negatives:
        return np.full(scores.shape[1], np.nan)
    ranks = rankdata(scores, axis=0)[fractured].sum(0)
    return np.asarray((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def presence_threshold(scores: Floats, fractured: npt.NDArray[np.bool_], specificity: float = SPECIFICITY) -> float:
    """The lowest threshold (a score above it means fracture) with at least that specificity; inf without negatives."""
    negatives = np.sort(scores[~fractured])
    if not len(negatives):
        return float("inf")
    allowed = int(np.floor((1 - specificity) * len(negatives) + 1e-9))
    return float(negatives[len(negatives) - 1 - allowed])


def sensitivity(scores: Floats, fractured: npt.NDArray[np.bool_], threshold: float) -> float | None:
    """Share of positives with a score above the threshold; None without positives."""
    return float((scores[fractured] > threshold).mean()) if fractured.any() else None


def intervals(
    counts: Confusion | None,
    scores: npt.NDArray[np.float64],
    fractured: npt.NDArray[np.bool_],
    groups: Sequence[str | None],
    resamples: int,
    seed: int = 0,
) -> dict[str, list[float]]:
    """{metric: [low, high]}, 95 % percentile bootstrap intervals; without `counts` for presence metrics only. A metric
    that most resamples lack is left out. Images are drawn with replacement, positives and negatives separately, so that
    AUC and AP exist in every resample. Groups (patients) are drawn whole (Efron & Tibshirani 1993, chapter 13)."""
    if not resamples:
        return {}
    generator = np.random.default_rng(seed)
    strata, unit_of = _units(fractured, groups)
    drawn: dict[str, list[Floats]] = {name: [] for name in INTERVAL_METRICS}
    chunk = max(1, LARGEST_CHUNK // len(fractured))
    with Progress("bootstrap", resamples, "resamples") as progress:
        for start in range(0, resamples, chunk):
            times = np.zeros((min(chunk, resamples - start), unit_of.max() + 1))
            for row in times:
                for units in strata:
                    chosen = generator.integers(len(units), size=len(units))
                    row[units] = np.bincount(chosen, minlength=len(units))
            weights = times[:, unit_of]
            metrics = resampled_presence(scores, fractured, weights)
            if counts is not None:
                metrics |= resampled_segmentation(counts, weights)
            for name, values in metrics.items():
                drawn[name].append(values[~np.isnan(values)])
            progress.advance(len(times))
    values_of = {name: np.concatenate(parts) for name, parts in drawn.items() if parts}
    return {
        name: [float(level) for level in np.percentile(values, PERCENTILES)]
        for name, values in values_of.items()
        if len(values) > resamples / 2
    }


def resampled_segmentation(counts: Confusion, weights: Floats) -> dict[str, Floats]:
    """The mask metrics of INTERVAL_METRICS on every resample, (R,). `weights` (R, N): how often an image was drawn."""
    dice, positive, of_positives = dice_per_image(counts), counts.positive, weights[:, counts.positive]
    pixels = weights @ np.stack([counts.tp, counts.tp + counts.fp, counts.tp + counts.fn], 1).astype(np.float64)
    positives = of_positives.sum(1)
    return {
        "dice_pos": _ratio(of_positives @ dice[positive], positives),
        "iou_pos": _ratio(of_positives @ iou_per_image(counts)[positive], positives),
        "precision_pos": _ratio(pixels[:, 0], pixels[:, 1]),
        "recall_pos": _ratio(pixels[:, 0], pixels[:, 2]),
        "dice": _ratio(weights @ dice, weights.sum(1)),
    }


def resampled_presence(scores: Floats, fractured: npt.NDArray[np.bool_], weights: Floats) -> dict[str, Floats]:
    """`presence_metrics` of every resample, (R,), from one sort of the scores; NaN where a class is missing. `weights`
    (R, N): how often an image was drawn."""
    order = np.argsort(-scores, kind="stable")
    firsts = np.flatnonzero(np.diff(scores[order], prepend=np.nan))  # equal scores are one step of the curves
    sorted_weights, is_positive = weights[:, order], fractured[order]
    positives = np.add.reduceat(sorted_weights * is_positive, firsts, 1)
    negatives = np.add.reduceat(sorted_weights * ~is_positive, firsts, 1)
    tp, fp = positives.cumsum(1), negatives.cumsum(1)
    all_positives, all_negatives = tp[:, -1], fp[:, -1]
    above = (negatives * (tp - positives / 2)).sum(1)  # pairs in which the positive has the higher score
    precision = tp / np.maximum(tp + fp, 1)
    average_precision = np.where(all_negatives > 0, _ratio((positives * precision).sum(1), all_positives), np.nan)
    return {
        "roc_auc_presence": _ratio(above, all_positives * all_negatives),
        "average_precision_presence": average_precision,
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where whole is 0."""
    ratio: Floats = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=ratio, where=whole > 0)


def _units(
    fractured: npt.NDArray[np.bool_], groups: Sequence[str | None]
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """The units of each stratum, and the unit of every image (N,). The images of a unit are drawn together."""
    if any(group is not None for group in groups):
        names = [group if group is not None else f"\0{index}" for index, group in enumerate(groups)]
        _, unit_of = np.unique(names, return_inverse=True)
        return [np.arange(unit_of.max() + 1)], unit_of
    strata = [np.flatnonzero(fractured == flag) for flag in (True, False)]
    return [units for units in strata if len(units)], np.arange(len(fractured))
