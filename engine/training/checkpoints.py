"""The best checkpoints of a training: the score they are chosen by, and which of them are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.metrics import metric
from engine.contract.training import selection_terms

_PREFIX = "best_"

NEEDS_NEGATIVES = ("roc_auc_presence", "average_precision_presence", "fp_area_neg")
"""Metrics that need an image without a fracture."""


@dataclass(slots=True)
class Best:
    """The best epochs so far with their scores; saved in every last.pt."""

    score: float = -math.inf
    epoch: int = 0
    """0: no epoch yet."""
    kept: list[tuple[float, int]] = field(default_factory=list)
    """(score, epoch) of the epochs whose checkpoints are kept, the best first; of equal ones the earlier."""

    def take(self, score: float, epoch: int, keep: int) -> bool:
        """Add an epoch; returns whether it is the best so far. It is kept if it is among the best `keep`."""
        self.kept = sorted([*self.kept, (score, epoch)], key=lambda entry: (-entry[0], entry[1]))[:keep]
        is_best = score > self.score
        if is_best:
            self.score, self.epoch = score, epoch
        return is_best

    def keeps(self, epoch: int) -> bool:
        return any(epoch == of for _, of in self.kept)


def best_checkpoint(checkpoints: Path, epoch: int) -> Path:
    """The file of an epoch's checkpoint, if more than the best one is kept."""
    return checkpoints / f"{_PREFIX}{epoch}.pt"


def best_checkpoints(checkpoints: Path) -> dict[int, Path]:
    """Epoch -> checkpoint, for checkpoints that are kept besides best.pt."""
    paths = {path.stem.removeprefix(_PREFIX): path for path in checkpoints.glob(f"{_PREFIX}*.pt")}
    return {int(epoch): path for epoch, path in paths.items() if epoch.isdecimal()}


def remove_others(checkpoints: Path, best: Best) -> None:
    """Remove checkpoints that are no longer among the best. Called after last.pt is written, so that every checkpoint
    that a last.pt names exists."""
    for epoch, path in best_checkpoints(checkpoints).items():
        if not best.keeps(epoch):
            path.unlink(missing_ok=True)


def score(metrics: Mapping[str, float], selection_metric: str) -> float:
    """The weighted sum by which the config selects; higher is better, so metrics that are better low are subtracted. A
    metric without a value (the precision of no prediction) counts as 0."""
    return sum(
        (weight if metric(measure).higher_is_better else -weight) * metrics.get(measure, 0.0)
        for weight, measure in selection_terms(selection_metric)
    )


def needs_negatives(selection_metric: str) -> bool:
    """Whether the selection metric needs an image without a fracture."""
    return any(measure in NEEDS_NEGATIVES for _, measure in selection_terms(selection_metric))
