"""The metrics in artifacts: names, labels, directions and ranges. The engine and the board share this table."""

from __future__ import annotations

from dataclasses import dataclass

ROUNDING = 1e-6
"""Largest distance from a metric's range that counts as a rounding error."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a test artifact."""

    name: str
    label: str
    """Column title."""
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    aliases: tuple[str, ...] = ()
    """Names in older artifacts, in lower case."""

    def clipped(self, value: float) -> float | None:
        """The value, if it lies in the metric's range. A value outside it by at most ROUNDING becomes the limit; any
        other is None."""
        inside = value if self.low is None else max(self.low, value)
        inside = inside if self.high is None else min(self.high, inside)
        return inside if abs(inside - value) <= ROUNDING else None


METRICS: tuple[Metric, ...] = (
    Metric("dice_pos", "Dice_pos"),  # mean over images whose mask is not empty
    Metric("iou_pos", "IoU_pos"),  # mean over images whose mask is not empty
    Metric("roc_auc_presence", "ROC-AUC (presence)", aliases=("roc_auc", "presence_roc_auc")),
    Metric("average_precision_presence", "AP (presence)", aliases=("ap", "average_precision", "presence_ap")),
    Metric("precision_pos", "Precision_pos"),  # pixels, pooled over all images of the split
    Metric("recall_pos", "Recall_pos"),  # pixels, pooled over all images of the split
    Metric("dice", "Dice"),  # mean over all images; an empty mask that is predicted empty counts as 1
    Metric("iou", "IoU"),  # mean over all images; an empty mask that is predicted empty counts as 1
    Metric("dice_pos_median", "Median Dice_pos"),  # median over images whose mask is not empty
    Metric("precision_pos_mean", "Mean precision_pos"),  # mean over positive images with a prediction
    Metric("recall_pos_mean", "Mean recall_pos"),  # mean over positive images
    Metric("missed_pos", "Missed", False),  # share of positive images in which no pixel was found
    Metric("fp_area_neg", "FP area", False),  # mean share of a negative image predicted positive
    Metric("sensitivity_at_90_specificity", "Sens@90"),  # at the presence threshold for 90 % specificity on validation
    Metric("loss", "Loss", False, low=None, high=None),
    Metric("brier", "Brier", False),
    Metric("ece", "ECE", False),
    Metric("hd95", "HD95", False, high=None),  # 95th percentile of the Hausdorff distance, pixels
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}

BOARD_COLUMNS: tuple[str, ...] = tuple(metric.name for metric in METRICS[:6])
"""The six columns of the user's leaderboard, in its order."""


def metric(name: str) -> Metric:
    """The metric with this name. An unknown name gives a metric without a range for which higher is better."""
    return BY_NAME.get(name) or Metric(name, name, low=None, high=None)
