"""Builds the curves of a training, and a line for each epoch, from its events.jsonl."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.contract.events import epoch_line
from engine.contract.text import STAMP
from xray_tui.logs.log_file import Log

MOST_POINTS = 2048
"""Number of points above which every second one is dropped; no terminal is wide enough to show more."""

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
    steps: float = 0.0
    """Epochs and steps of the whole training; 0 if unknown."""
    times: Points = ()
    """(epoch, seconds of training up to it, without pauses)."""
    rates: Points = ()
    """(epoch, learning rate)."""

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
    times: list[tuple[float, float]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    epoch_lines: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MOST_POINTS))
    """Time stamp and line of the last epochs."""
    _zero: float | None = None
    """The time at which the training would have started without pauses, in seconds since the epoch."""
    _epoch_began: float | None = None

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
        for name in ("loss", "times", "rates"):
            while len(points := getattr(self, name)) > MOST_POINTS:
                setattr(self, name, points[::2])

    def curve(self) -> Curve:
        loss, validation, times, rates = map(tuple, (self.loss, self.validation, self.times, self.rates))
        return Curve(loss, validation, self.metric, self.best, self.epochs, self.steps, times, rates)

    def epoch_log(self) -> Log:
        """The epochs as a log, for a training whose output was not kept."""
        stamps, lines = zip(*self.epoch_lines, strict=True) if self.epoch_lines else ((), ())
        return Log(lines, width=max(map(len, lines), default=0), edition=1, stamps=stamps)

    def _start(self, event: dict[str, Any]) -> None:
        """Start or resume a training. Drops the points after the checkpoint from which it resumes."""
        at = self._at(number(event.get("step")) or 0.0) or 0.0
        for name in ("loss", "validation", "times", "rates"):
            setattr(self, name, [point for point in getattr(self, name) if point[0] <= at])
        if (now := number(event.get("time"))) is not None:
            self._zero, self._epoch_began = now - (self.times[-1][1] if self.times else 0.0), now
        if self.best is not None and self.best[0] > at:
            self.best = max(self.validation, key=lambda point: point[1], default=None)

    def _step(self, event: dict[str, Any]) -> None:
        loss, step = number(event.get("loss")), number(event.get("step"))
        at = None if step is None else self._at(step)
        if at is None:
            return
        now, rate = number(event.get("time")), number(event.get("lr"))
        if loss is not None:
            self.loss.append((at, loss))
        if rate is not None:
            self.rates.append((at, rate))
        if now is not None and self._zero is not None:
            self.times.append((at, now - self._zero))

    def _epoch(self, event: dict[str, Any]) -> None:
        epoch, values = number(event.get("epoch")), event.get("val")
        if epoch is None or not isinstance(values, dict):
            return
        self._add_line(event, epoch, {name: value for name in values if (value := number(values[name])) is not None})
        if self.metric not in values and not self.validation:
            self.metric = next((name for name in INSTEAD if name in values), self.metric)
        value = number(values.get(self.metric))
        if value is None:
            return
        self.validation.append((epoch, value))
        if event.get("best") is True:
            self.best = (epoch, value)

    def _add_line(self, event: dict[str, Any], epoch: float, values: dict[str, float]) -> None:
        now, loss = number(event.get("time")), number(event.get("loss"))
        seconds = -1.0 if now is None or self._epoch_began is None else now - self._epoch_began
        line = epoch_line(
            epoch, self.epochs, float("nan") if loss is None else loss, values, event.get("best") is True, seconds
        )
        self.epoch_lines.append(("" if now is None else time.strftime(STAMP, time.localtime(now)), line))
        self._epoch_began = now

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
