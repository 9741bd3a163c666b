"""From nnU-Net's training log to our events: nnunetv2 2.2 to 2.8 log an epoch as tests/engine/nnunet/test_log.py shows.

"Yayy! New best" is the last line of an epoch, and appears only for a new best one.
"""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

from engine.contract import names
from engine.contract.events import parse_events
from engine.process.progress import Progress
from engine.training.event_log import EventLog

DEFAULT_EPOCHS = 1000

_STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?: ?(.*)")
_EPOCH = re.compile(r"Epoch (\d+)\s*$")
_FIELDS = {
    "Current learning rate:": "lr",
    "train_loss": "loss",
    "val_loss": "val_loss",
    "Pseudo dice": "pseudo_dice",
    "Epoch time:": "seconds",
}
_NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))"
_VALUE = re.compile(rf"({'|'.join(_FIELDS)})\s+\[?(?:np\.float\d+\()?{_NUMBER}")  # numpy 2 prints its types
_CASE = re.compile(r"predicting \S+\s*$")
_BEST = "Yayy! New best"
_DONE = "Training done."


class TrainingLog:
    """Writes the events of one training, which may continue a former one, and shows its progress. nnU-Net logs nothing
    within an epoch, so an epoch is a step. Its loss is cross entropy minus Dice: near 0 at first, -1 at best. Pseudo
    Dice is that of the pooled pixels of random validation patches, a third of them around a fracture; it is higher than
    Dice_pos. Values that nnU-Net did not log are NaN."""

    def __init__(self, run: Path, debug: Path, validation_cases: int) -> None:
        """`debug`: the file in which the trainer writes its number of epochs before the first one begins."""
        self._run, self._debug, self._cases = run, debug, validation_cases
        self._started = time.monotonic()
        self._events: EventLog | None = None
        self._progress: Progress | None = None
        self._epochs, self._epoch, self._done = DEFAULT_EPOCHS, 0, 0
        self._values: dict[str, float] = {}  # of the current epoch, which is over with its time
        self._times: list[float] = []

    def take(self, line: str) -> None:
        """Process one line of the trainer's output. An epoch is written with the line after its last one."""
        stamped = _STAMPED.match(line)
        if stamped is None:
            return
        text = stamped[1].strip()
        self._finish_epoch(best=text.startswith(_BEST))
        if began := _EPOCH.match(text):
            self._begin_epoch(int(began[1]))
        elif value := _VALUE.match(text):
            self._values[_FIELDS[value[1]]] = float(value[2])
        elif text.startswith(_DONE):
            self._show("nnU-Net's own validation", self._cases, "images")
        elif _CASE.match(text) and self._progress is not None:
            self._progress.advance()

    def end(self, state: str | None) -> None:
        """Write the end: done, stopped, or None for a failure. Nothing is written if no epoch began."""
        self._finish_epoch()
        if self._events is not None and state is not None:
            seconds = round(time.monotonic() - self._started, 1)
            self._events.write("end", state=state, step=self._done, seconds=seconds)

    def close(self) -> None:
        """Close file and bar."""
        if self._progress is not None:
            self._progress.close()
        if self._events is not None:
            self._events.close()

    def _begin_epoch(self, done: int) -> None:
        """The first epoch shows where a training continues: former events of later epochs are cut off."""
        self._epoch, self._values = done + 1, {}
        if self._events is not None:
            return
        path = self._run / names.EVENTS
        self._epochs, self._done = epochs_of(self._debug), done
        self._events = EventLog(path, keep_bytes=kept_bytes(path.read_bytes(), done) if path.exists() else 0)
        self._events.write("start", run=self._run.name, epochs=self._epochs, steps=self._epochs, step=done)
        self._show(f"train {self._run.name}", self._epochs, "epochs", done)

    def _finish_epoch(self, best: bool = False) -> None:
        """Write the epoch, if it is over."""
        if self._events is None or "seconds" not in self._values:
            return
        logged, self._values = dict.fromkeys(_FIELDS.values(), math.nan) | self._values, {}
        self._done = self._epoch
        if math.isfinite(logged["seconds"]):
            self._times.append(logged["seconds"])
        eta = round(sum(self._times) / len(self._times) * (self._epochs - self._done), 1) if self._times else None
        facts = {"epoch": self._done, "step": self._done, "loss": logged["loss"], "lr": logged["lr"], "eta_s": eta}
        self._events.write("step", steps=self._epochs, **facts)
        values = {"pseudo_dice": logged["pseudo_dice"], "loss": logged["val_loss"]}
        self._events.write("epoch", epochs=self._epochs, **facts, val=values, best=best)
        if self._progress is not None:
            self._progress.advance(eta_s=eta)

    def _show(self, phase: str, total: int, unit: str, done: int = 0) -> None:
        if self._progress is not None:
            self._progress.close()
        self._progress = Progress(phase, total, unit, done=done)


def kept_bytes(content: bytes, epoch: int) -> int:
    """Length of the part of an events file up to the end of that epoch (0: nothing)."""
    end = offset = 0
    for line in content.splitlines(keepends=True):
        offset += len(line)
        for event in parse_events(line.decode("utf-8", "replace")):
            reached = event.get("epoch")
            if not isinstance(reached, int) or event["event"] not in ("step", "epoch"):
                continue
            if reached > epoch:
                return end
            end = offset
    return end


def epochs_of(debug: Path) -> int:
    """The number of epochs in the trainer's debug.json, in which every value is a text."""
    try:
        return int(json.loads(debug.read_text("utf-8"))["num_epochs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return DEFAULT_EPOCHS
