"""Choices made on validation: threshold, presence source, gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.contract.errors import BadInput
from engine.evaluation.metrics import EPSILON, Confusion, dice_per_image, presence_metrics, presence_threshold
from engine.evaluation.presence import HEAD, without_head
from engine.evaluation.scores import SplitScores

OPTIMISM_RESAMPLES = 1000
"""Number of bootstrap resamples for the optimism of a tuned threshold."""

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
    return int(_best_columns(mean_dice_pos(tp, fp, fn)[None])[0])


def _best_columns(dice: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(K, T) -> (K,): the column of each row's highest value; of equal ones the one nearest to the middle."""
    from_middle = np.abs(np.arange(dice.shape[1]) - (dice.shape[1] - 1) / 2)
    is_best = dice >= dice.max(1, keepdims=True) - 1e-12
    return np.asarray(np.where(is_best, from_middle, np.inf).argmin(1))


def threshold_optimism(counts: Confusion, groups: Sequence[str | None], seed: int = 0) -> float | None:
    """How much higher the Dice over positives is on the images on which the threshold was tuned than on new images: the
    bootstrap's mean of Dice_b(t_b) - Dice(t_b), where t_b is the best threshold of resample b, Dice_b the mean Dice of
    the resample and Dice that of all images (Efron 1983, JASA 78:316; Harrell, Lee & Mark 1996, Stat. Med. 15:361).

    From each difference that at t, the best threshold of all images, is subtracted. Its expectation is 0, so the mean
    has less noise, and is never negative. Positive images are drawn, those of a group (patient) together. `counts`:
    (N, T). None without a positive image."""
    positive = counts.tp[:, 0] + counts.fn[:, 0] > 0
    if not positive.any():
        return None
    dice = dice_per_image(counts)[positive]
    unit_names = [f"\0{index}" if group is None else group for index, group in enumerate(groups)]
    units, unit_of = np.unique(np.array(unit_names)[positive], return_inverse=True)
    of_unit = np.zeros((len(units), dice.shape[1]))
    np.add.at(of_unit, unit_of, dice)
    share = np.full(len(units), 1 / len(units))
    times = np.random.default_rng(seed).multinomial(len(units), share, size=OPTIMISM_RESAMPLES)
    resampled = times @ of_unit / (times @ np.bincount(unit_of))[:, None]
    surplus = resampled - dice.mean(0)
    best, overall = _best_columns(resampled), _best_columns(dice.mean(0)[None])[0]
    return float((surplus[np.arange(len(best)), best] - surplus[:, overall]).mean())


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
    optimism: float | None = None
    """`threshold_optimism` of a tuned threshold. None for a fixed one, and for a blend, where the threshold is chosen
    together with the weights."""


def choose(
    val: SplitScores,
    threshold: float | Literal["tuned"],
    presence: str,
    gate: float | Literal["none", "tuned"],
    trained: str | None = None,
) -> Choice:
    """Make the requested choices on the validation split.

    threshold `tuned`: highest mean Dice over positives at native size. presence `auto`: the classification head if
    there is one, else `trained`, the map's score that a presence loss trained, else the score with the highest ROC-AUC,
    or the map's maximum where a class is missing.
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
        optimism=threshold_optimism(val.native, val.groups) if threshold == "tuned" else None,
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
        return max(metrics, key=lambda source: metrics[source].get("roc_auc_presence", -np.inf))
    if presence == HEAD and HEAD not in val.presence:
        others = ", ".join(without_head())
        raise BadInput(f"--presence {HEAD}: this run has no classification head; give auto, or one of {others}")
    return presence
