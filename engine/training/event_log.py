"""events.jsonl of a run, and the losses and speed that are written to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.contract.events import format_event
from engine.contract.files import named


class EventLog:
    """The open events file, or none where another rank writes it. A line reaches the file as one write, so that a
    reader sees at most one unfinished line."""

    def __init__(self, path: Path | None, *, keep_bytes: int = 0) -> None:
        """Opens for appending; what stands beyond `keep_bytes` (events after the checkpoint) is cut off."""
        self._path = path
        if path is None:
            self._file = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            return
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.ftruncate(self._file, min(keep_bytes, os.fstat(self._file).st_size))

    @property
    def size(self) -> int:
        """Bytes so far: what a checkpoint remembers."""
        return os.fstat(self._file).st_size

    def write(self, event: str, **fields: Any) -> None:
        """Raises OSError with the file's name in it: disk full. Half a line may be left, which a resume cuts off."""
        line = format_event(event, time.time(), **fields).encode()
        with named(self._path or Path(os.devnull)):
            while line:
                line = line[os.write(self._file, line) :]

    def sync(self) -> None:
        """What was written so far outlasts a crash of the machine: a checkpoint counts on it."""
        if self._path is not None:
            with named(self._path):
                os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened since the last reading."""

    losses: tuple[float, ...]
    """One a step."""
    images_per_s: float
    places: tuple[tuple[int, ...], ...]
    """Of the images of each step in their split."""
    eta_s: float
    """Of the whole training, validations included."""

    @property
    def loss(self) -> float:
        return sum(self.losses) / len(self.losses)


class Meter:
    """Collects losses on the device."""

    def __init__(self, images_per_step: int, across: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`across`: the mean of losses over the ranks."""
        self._images_per_step, self._across = images_per_step, across
        self._losses: list[torch.Tensor] = []
        self._places: list[torch.Tensor] = []
        self._started = self._since = time.monotonic()
        self._steps = 0

    def add(self, loss: torch.Tensor, places: torch.Tensor) -> None:
        """One step's loss, and the places of its images in their split."""
        self._losses.append(loss)
        self._places.append(places)
        self._steps += 1

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._since >= EVERY_S

    def read(self, steps_left: int) -> Reading:
        """Since the last time; at least one step."""
        losses = tuple(self._across(torch.stack(self._losses).float()).tolist())
        now = time.monotonic()
        images_per_s = len(losses) * self._images_per_step / max(now - self._since, 1e-9)
        eta = (now - self._started) / self._steps * steps_left
        places = tuple(tuple(step.tolist()) for step in self._places)
        self._losses, self._places, self._since = [], [], now
        return Reading(losses, round(images_per_s, 2), places, round(eta, 1))

    def skip(self) -> None:
        """What passed since the last reading (a validation) was no training."""
        self._since = time.monotonic()
