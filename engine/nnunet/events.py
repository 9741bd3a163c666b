"""What nnU-Net says as our events.jsonl and progress. It tells nothing between two epochs: an epoch is a step."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from engine.contract import names
from engine.contract.events import parse_events
from engine.nnunet.log import Began, Epoch, LogReader, Said, Trained, Validates
from engine.progress import Progress
from engine.training.event_log import EventLog

DEFAULT_EPOCHS = 1000


class Telling:
    """Writes the events of one training, which may be the continuation of a former one."""

    def __init__(self, run: Path, debug: Path, validation_cases: int) -> None:
        """`debug`: the file in which the trainer tells how many epochs it has, before the first one begins."""
        self._run, self._debug, self._cases = run, debug, validation_cases
        self._reader = LogReader()
        self._started = time.monotonic()
        self._events: EventLog | None = None
        self._progress: Progress | None = None
        self._epochs, self._done = DEFAULT_EPOCHS, 0
        self._times: list[float] = []

    def take(self, line: str) -> None:
        """One line of the trainer's output."""
        self._tell(self._reader.take(line))

    def _tell(self, told: list[Said]) -> None:
        for said in told:
            match said:
                case Began():
                    self._began(said.epoch - 1)
                case Epoch():
                    self._epoch(said)
                case Trained():
                    self._show("nnU-Net's own validation", self._cases, "images")
                case Validates() if self._progress is not None:
                    self._progress.advance()

    def end(self, state: str | None) -> None:
        """How it ended: done, stopped, or None for a failure; where nothing had begun, nothing is written."""
        self._tell(self._reader.rest())
        if self._events is not None and state is not None:
            seconds = round(time.monotonic() - self._started, 1)
            self._events.write("end", state=state, step=self._done, seconds=seconds)

    def close(self) -> None:
        """Let go of file and bar."""
        if self._progress is not None:
            self._progress.close()
        if self._events is not None:
            self._events.close()

    def _began(self, done: int) -> None:
        """The first epoch tells from where a training goes on: what was written of later ones counts no more."""
        if self._events is not None:
            return
        path = self._run / names.EVENTS
        self._epochs, self._done = epochs_of(self._debug), done
        self._events = EventLog(path, keep_bytes=kept_bytes(path.read_bytes(), done) if path.exists() else 0)
        self._events.write("start", run=self._run.name, epochs=self._epochs, steps=self._epochs, step=done)
        self._show(f"train {self._run.name}", self._epochs, "epochs", done)

    def _epoch(self, epoch: Epoch) -> None:
        if self._events is None:
            return
        self._done = epoch.epoch
        if math.isfinite(epoch.seconds):
            self._times.append(epoch.seconds)
        left = self._epochs - epoch.epoch
        eta = round(sum(self._times) / len(self._times) * left, 1) if self._times else None
        facts = {"epoch": epoch.epoch, "step": epoch.epoch, "loss": epoch.loss, "lr": epoch.lr, "eta_s": eta}
        self._events.write("step", steps=self._epochs, **facts)
        values = {"pseudo_dice": epoch.pseudo_dice, "loss": epoch.val_loss}
        self._events.write("epoch", epochs=self._epochs, **facts, val=values, best=epoch.best)
        if self._progress is not None:
            self._progress.advance(eta_s=eta)

    def _show(self, phase: str, total: int, unit: str, done: int = 0) -> None:
        if self._progress is not None:
            self._progress.close()
        self._progress = Progress(phase, total, unit, done=done)


def kept_bytes(content: bytes, epoch: int) -> int:
    """How much of an events file tells of a training up to the end of that epoch (0: nothing)."""
    kept = place = 0
    for line in content.splitlines(keepends=True):
        place += len(line)
        for event in parse_events(line.decode("utf-8", "replace")):
            reached = event.get("epoch")
            if not isinstance(reached, int) or event["event"] not in ("step", "epoch"):
                continue
            if reached > epoch:
                return kept
            kept = place
    return kept


def epochs_of(debug: Path) -> int:
    """How many epochs the trainer has, from its debug.json, in which every value is a text."""
    try:
        return int(json.loads(debug.read_text("utf-8"))["num_epochs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return DEFAULT_EPOCHS
