"""nnU-Net's training log, parsed line by line. The log of one epoch in nnunetv2 2.2 to 2.8:

    2026-11-24 11:50:16.815938: Epoch 0
    2026-11-24 11:50:16.815999: Current learning rate: 0.01
    2026-11-24 11:50:41.196554: train_loss 0.0275
    2026-11-24 11:50:41.196702: val_loss 0.0239
    2026-11-24 11:50:41.196751: Pseudo dice [np.float32(0.0)]
    2026-11-24 11:50:41.196804: Epoch time: 24.38 s
    2026-11-24 11:50:41.196844: Yayy! New best EMA pseudo Dice: 0.0

The last line appears only for a new best epoch. After the last epoch:

    2026-11-24 11:50:41.887642: Training done.
    2026-11-24 11:50:41.914287: predicting synth_0005
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

_STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?: ?(.*)")
_NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))"
_EPOCH = re.compile(r"Epoch (\d+)\s*$")
_VALUE = re.compile(rf"(Current learning rate:|train_loss|val_loss|Epoch time:)\s+{_NUMBER}")
_PSEUDO_DICE = re.compile(r"Pseudo dice \[(.*)\]")
_CASE = re.compile(r"predicting (\S+)\s*$")
_BEST = "Yayy! New best"
_DONE = "Training done."


@dataclass(frozen=True, slots=True)
class Began:
    """An epoch begins."""

    epoch: int
    """From 1 on."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A finished epoch. Values that nnU-Net did not log are NaN."""

    epoch: int
    """From 1 on."""
    lr: float = math.nan
    loss: float = math.nan
    """Cross entropy minus Dice: near 0 at first, -1 at best."""
    val_loss: float = math.nan
    pseudo_dice: float = math.nan
    """Dice over the pooled pixels of 50 batches of random validation patches, a third of them around a fracture. It is
    not Dice_pos, and higher."""
    seconds: float = math.nan
    best: bool = False
    """Its moving average of pseudo Dice was the highest, and its checkpoint was saved as the best."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The last epoch is over and the final checkpoint is saved."""


@dataclass(frozen=True, slots=True)
class Validates:
    """nnU-Net's own validation predicts one more case."""

    case: str


LogEvent = Began | Epoch | Trained | Validates


class LogReader:
    """Parses the lines in their order."""

    def __init__(self) -> None:
        self._open: Epoch | None = None
        self._over = False  # the epoch is over; only the line about a new best can follow

    def take(self, line: str) -> list[LogEvent]:
        """The events in one line. An epoch is returned with the line after its last one."""
        stamped = _STAMPED.match(line)
        if stamped is None:
            return []
        text = stamped[1].strip()
        events: list[LogEvent] = self.rest(best=text.startswith(_BEST))
        if began := _EPOCH.match(text):
            self._open = Epoch(int(began[1]) + 1)
            events.append(Began(self._open.epoch))
        elif text.startswith(_DONE):
            events.append(Trained())
        elif case := _CASE.match(text):
            events.append(Validates(case[1]))
        elif self._open is not None:
            self._read(self._open, text)
        return events

    def rest(self, best: bool = False) -> list[LogEvent]:
        """The finished epoch that was not returned yet, if any."""
        if not self._over or self._open is None:
            return []
        epoch, self._open, self._over = replace(self._open, best=best), None, False
        return [epoch]

    def _read(self, epoch: Epoch, text: str) -> None:
        if dice := _PSEUDO_DICE.match(text):
            self._open = replace(epoch, pseudo_dice=_first_number(dice[1]))
        elif value := _VALUE.match(text):
            number = float(value[2])
            match value[1]:
                case "Current learning rate:":
                    self._open = replace(epoch, lr=number)
                case "train_loss":
                    self._open = replace(epoch, loss=number)
                case "val_loss":
                    self._open = replace(epoch, val_loss=number)
                case _:
                    self._open, self._over = replace(epoch, seconds=number), True


def _first_number(listed: str) -> float:
    """The number in `np.float32(0.31)`, `0.31` or `nan`: numpy 2 prints its types."""
    number = re.search(_NUMBER, re.sub(r"np\.float\d+\(", "", listed))
    return float(number[1]) if number else math.nan
