"""Builds the two curves of a training, loss and validation metric, from its events.jsonl."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MOST_POINTS = 2048
"""Number of loss points above which every second one is dropped; no terminal is wide enough to show more."""

LARGEST = 1e12
"""Largest valid loss, metric, step or epoch; a greater one is not from a training and would flatten the chart."""

INSTEAD = ("roc_auc_presence", "pseudo_dice")
"""Metrics to draw if a training has no dice_pos: the ROC AUC of a classifier, and nnU-Net's Dice over batches."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """The curves of a training up to now. x is in epochs, from 0 to `epochs`."""

    loss: Points = ()
    validation: Points = ()
    metric: str = "dice_pos"
    """Name of the validation metric."""
    best: tuple[float, float] | None = None
    """(epoch, value) of the best checkpoint."""
    epochs: float = 0.0

    @property
    def empty(self) -> bool:
        return not (self.loss or self.validation)


@dataclass(slots=True)
class CurveReader:
    """Updates the curve with every batch of events."""

    metric: str = "dice_pos"
    loss: list[tuple[float, float]] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)
    best: tuple[float, float] | None = None
    epochs: float = 0.0
    steps: float = 0.0

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            self.epochs = _count(event.get("epochs")) or self.epochs
            self.steps = _count(event.get("steps")) or self.steps
            match event["event"]:
                case "start":
                    self._start(event)
                case "step":
                    self._step(event)
                case "epoch":
                    self._epoch(event)
        while len(self.loss) > MOST_POINTS:
            self.loss = self.loss[::2]

    def curve(self) -> Curve:
        return Curve(tuple(self.loss), tuple(self.validation), self.metric, self.best, self.epochs)

    def _start(self, event: dict[str, Any]) -> None:
        """Start or resume a training. Drops the points after the checkpoint from which it resumes."""
        at = self._at(number(event.get("step")) or 0.0) or 0.0
        self.loss = [point for point in self.loss if point[0] <= at]
        self.validation = [point for point in self.validation if point[0] <= at]
        if self.best is not None and self.best[0] > at:
            self.best = max(self.validation, key=lambda point: point[1], default=None)

    def _step(self, event: dict[str, Any]) -> None:
        loss, step = number(event.get("loss")), number(event.get("step"))
        at = None if step is None else self._at(step)
        if loss is not None and at is not None:
            self.loss.append((at, loss))

    def _epoch(self, event: dict[str, Any]) -> None:
        epoch, values = number(event.get("epoch")), event.get("val")
        if epoch is None or not isinstance(values, dict):
            return
        if self.metric not in values and not self.validation:
            self.metric = next((name for name in INSTEAD if name in values), self.metric)
        value = number(values.get(self.metric))
        if value is None:
            return
        self.validation.append((epoch, value))
        if event.get("best") is True:
            self.best = (epoch, value)

    def _at(self, step: float) -> float | None:
        """The step in epochs, or unchanged if the totals are unknown; None if the result is not a valid number."""
        return number(step / self.steps * self.epochs) if self.steps and self.epochs else step


def number(value: Any) -> float | None:
    """The value as a float; None if it is not a number, not finite, or larger than LARGEST."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST else None  # compared first, because float() of a huge int raises


def _count(value: Any) -> float | None:
    """The value as a number of epochs or steps; None if it is below 1."""
    count = number(value)
    return count if count is not None and count >= 1 else None
