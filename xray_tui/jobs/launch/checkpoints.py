"""The checkpoints that a job begins from, and the runs whose trainings write them.

Looks at the disk only to tell a run folder from a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.contract.names import BEST, CHECKPOINTS
from xray_tui.jobs.launch.resolve import Asked

Use = Literal["checkpoint", "init_from", "member", "presence_run"]

_FILES = (".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Read:
    """A checkpoint that is read, there or not."""

    use: Use
    """What for."""
    path: Path
    run: Path | None
    """The run folder that it belongs to; None for a file elsewhere."""


def reads(asked: Asked) -> Iterator[Read]:
    """All of a job's. A training that is resumed begins from its own last one, and from nothing else; nnU-Net looks for
    its own by itself."""
    if asked.kind == "train" and asked.config.get("kind") == "nnunet":
        return
    if asked.kind == "evaluate" or asked.checkpoint is not None:
        yield Read("checkpoint", asked.folder / CHECKPOINTS / (asked.checkpoint or BEST), asked.folder)
    elif asked.kind == "train":
        training = asked.config.get("training")
        if isinstance(training, dict) and isinstance(given := training.get("init_from"), str):
            yield _given("init_from", Path(given))
    elif asked.kind == "blend":
        yield from (_of_run("member", member) for member in asked.members)
        if isinstance(given := asked.config.get("presence_run"), str):
            yield _of_run("presence_run", Path(given))


def is_file(path: Path) -> bool:
    """Whether a file lies there, as far as one may see."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _given(use: Use, path: Path) -> Read:
    """A run folder, a checkpoint in one, or a file elsewhere. What is not there yet may become any of the first two."""
    if path.parent.name == CHECKPOINTS:
        return Read(use, path, path.parent.parent)
    if path.suffix in _FILES or is_file(path):
        return Read(use, path, None)
    return _of_run(use, path)


def _of_run(use: Use, run: Path) -> Read:
    return Read(use, run / CHECKPOINTS / BEST, run)
