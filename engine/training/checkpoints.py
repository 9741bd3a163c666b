"""The best checkpoints of a training: the score they are chosen by, and which of them are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.metrics import metric
from engine.contract.training import selection_terms

_PREFIX = "best_"


@dataclass(slots=True)
class Best:
    """The best epochs so far by their scores; it is in every last.pt."""

    score: float = -math.inf
    epoch: int = 0
    """0: none yet."""
    kept: list[tuple[float, int]] = field(default_factory=list)
    """(score, epoch) of those whose checkpoints are kept, the best first; of equal ones the earlier."""

    def take(self, score: float, epoch: int, keep: int) -> bool:
        """Whether the epoch is the best so far. It is kept where it is among the best `keep`."""
        self.kept = sorted([*self.kept, (score, epoch)], key=lambda entry: (-entry[0], entry[1]))[:keep]
        is_best = score > self.score
        if is_best:
            self.score, self.epoch = score, epoch
        return is_best

    def keeps(self, epoch: int) -> bool:
        return any(epoch == of for _, of in self.kept)

    def since(self, epoch: int) -> int:
        """How many epochs have passed without a better one."""
        return epoch - self.epoch


def best_of(checkpoints: Path, epoch: int) -> Path:
    """Where an epoch's checkpoint lies, where more than the very best is kept."""
    return checkpoints / f"{_PREFIX}{epoch}.pt"


def kept_in(checkpoints: Path) -> dict[int, Path]:
    """Epoch -> checkpoint of those that are kept beside best.pt."""
    found = {path.stem.removeprefix(_PREFIX): path for path in checkpoints.glob(f"{_PREFIX}*.pt")}
    return {int(epoch): path for epoch, path in found.items() if epoch.isdecimal()}


def half_written(checkpoints: Path) -> list[Path]:
    """What is left of checkpoints that were being written when their training was killed."""
    return list(checkpoints.glob(".*.pt.*.tmp"))


def forget_others(checkpoints: Path, best: Best) -> None:
    """Remove what is not among the best any more. Behind last.pt, so that a training that is killed before does not
    miss what its last.pt tells of."""
    for epoch, path in kept_in(checkpoints).items():
        if not best.keeps(epoch):
            path.unlink(missing_ok=True)


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
