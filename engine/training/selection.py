"""Which of two validations is the better one."""

from __future__ import annotations

from collections.abc import Mapping

from engine.contract.metrics import metric
from engine.contract.training import selection_terms

NEEDS_NEGATIVES = ("roc_auc_presence", "average_precision_presence", "fp_area_neg")
"""Measures that have no value where every image has a fracture."""


def score(metrics: Mapping[str, float], selection_metric: str) -> float:
    """The weighted sum that the config selects by; higher is better, so what is better low (a loss) counts downwards.

    A measure without a value (a precision where nothing was predicted) counts as 0.
    """
    return sum(
        (weight if metric(measure).higher_is_better else -weight) * metrics.get(measure, 0.0)
        for weight, measure in selection_terms(selection_metric)
    )


def needs_negatives(selection_metric: str) -> bool:
    """Whether it can be measured only where some image has no fracture."""
    return any(measure in NEEDS_NEGATIVES for _, measure in selection_terms(selection_metric))
