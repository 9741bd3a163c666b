"""Choices made on validation: threshold, presence source, gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.contract.errors import BadInput
from engine.evaluation.metrics import EPSILON, Confusion, dice_per_image, presence_metrics, presence_threshold
from engine.evaluation.presence import HEAD, without_head
from engine.evaluation.scores import SplitScores

GRID: npt.NDArray[np.float64] = np.round(np.arange(0.01, 1.0, 0.01), 6)

Counts = npt.NDArray[np.int64]

Source = Literal["fixed", "val"]


def mean_dice_pos(tp: Counts, fp: Counts, fn: Counts) -> npt.NDArray[np.float64]:
    """Mean Dice over positive images at every threshold: (N, T) counts -> (T,); zeros without a positive image."""
    positive = (tp[:, 0] + fn[:, 0]) > 0
    if not positive.any():
        return np.zeros(tp.shape[1])
    tp, fp, fn = tp[positive], fp[positive], fn[positive]
    dice = (2 * tp + EPSILON) / (2 * tp + fp + fn + EPSILON)
    return np.asarray(dice.mean(0))


def best_threshold(tp: Counts, fp: Counts, fn: Counts) -> int:
    """Index in the grid of the highest mean Dice over positives; of equal ones the one nearest to the middle."""
    dice = mean_dice_pos(tp, fp, fn)
    best = np.flatnonzero(dice >= dice.max() - 1e-12)
    return int(best[np.argmin(np.abs(best - (len(dice) - 1) / 2))])


@dataclass(frozen=True, slots=True)
class Choice:
    """Everything that is chosen before the test split is scored."""

    threshold: float
    index: int
    """Index of the threshold among the scored ones."""
    threshold_source: Source
    presence_source: str
    gate: float | None
    """Masks of images with a lower presence score are emptied; None: no gate."""
    gate_source: Source | None
    presence_cut: float
    """Presence threshold with 90 % specificity on validation."""


def choose(
    val: SplitScores,
    threshold: float | Literal["tuned"],
    presence: str,
    gate: float | Literal["none", "tuned"],
    trained: str | None = None,
) -> Choice:
    """Make the requested choices on the validation split.

    threshold `tuned`: highest mean Dice over positives at native size. presence `auto`: the classification head if
    there is one, else `trained`, the map's score that a presence loss trained, else the score with the highest ROC-AUC.
    gate `tuned`: highest mean Dice over all images (an empty mask predicted empty counts 1), at the threshold chosen
    before. Raises BadInput for a presence source that the run does not have.
    """
    if threshold == "tuned":
        index = best_threshold(val.native.tp, val.native.fp, val.native.fn)
    else:
        index = int(np.searchsorted(val.thresholds, threshold))
    source = _presence_source(val, presence, index, trained)
    scores = val.presence_scores(source, index)
    if gate == "tuned":
        level: float | None = best_gate(val.native.at(index), scores)
    else:
        level = None if gate == "none" else gate
    return Choice(
        threshold=float(val.thresholds[index]),
        index=index,
        threshold_source="val" if threshold == "tuned" else "fixed",
        presence_source=source,
        gate=level,
        gate_source=None if level is None else ("val" if gate == "tuned" else "fixed"),
        presence_cut=presence_threshold(scores, val.fractured),
    )


def best_gate(counts: Confusion, scores: npt.NDArray[np.float64]) -> float:
    """The gate with the highest mean Dice over all images; of equal ones the lowest."""
    ungated = dice_per_image(counts)
    emptied = dice_per_image(counts.gated(np.zeros(len(scores), np.bool_)))
    order = np.argsort(scores, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(emptied[order])])[:-1]
    above = np.cumsum(ungated[order][::-1])[::-1]
    means = (below + above) / len(scores)
    first_of_score = np.searchsorted(scores[order], scores[order])  # equal scores pass or fail together
    return float(scores[order][first_of_score[int(np.argmax(means[first_of_score]))]])


def _presence_source(val: SplitScores, presence: str, index: int, trained: str | None) -> str:
    if presence == "auto":
        if HEAD in val.presence:
            return HEAD
        if trained is not None:
            return trained
        metrics = {
            source: presence_metrics(val.presence_scores(source, index), val.fractured) for source in without_head()
        }
        return max(metrics, key=lambda source: metrics[source].get("roc_auc_presence", 0.0))
    if presence == HEAD and HEAD not in val.presence:
        others = ", ".join(without_head())
        raise BadInput(f"--presence {HEAD}: this run has no classification head; give auto, or one of {others}")
    return presence
