"""The checkpoints that a job reads, and the runs whose trainings write them.

Reads the disk only to tell a run folder from a file.
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
    """A checkpoint that a job reads; it may not exist yet."""

    use: Use
    """Purpose."""
    path: Path
    run: Path | None
    """Folder of the run that writes the checkpoint; None for a file outside a run."""


def reads(asked: Asked) -> Iterator[Read]:
    """All checkpoints that a job reads. A resumed training reads only its own last checkpoint; nnU-Net finds its own
    checkpoints itself."""
    if asked.kind == "train" and asked.config.get("kind") == "nnunet":
        return
    if asked.kind == "evaluate" or asked.checkpoint is not None:
        yield Read("checkpoint", asked.folder / CHECKPOINTS / (asked.checkpoint or BEST), asked.folder)
    elif asked.kind == "train":
        training = asked.config.get("training")
        if isinstance(training, dict) and isinstance(path := training.get("init_from"), str):
            yield _from_path("init_from", Path(path))
    elif asked.kind == "blend":
        yield from (_of_run("member", member) for member in asked.members)
        if isinstance(path := asked.config.get("presence_run"), str):
            yield _of_run("presence_run", Path(path))


def is_file(path: Path) -> bool:
    """Whether the path is a file; False if it cannot be read."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _from_path(use: Use, path: Path) -> Read:
    """Classify a path: a checkpoint of a run, a file outside a run, or a run folder, which may not exist yet."""
    if path.parent.name == CHECKPOINTS:
        return Read(use, path, path.parent.parent)
    if path.suffix in _FILES or is_file(path):
        return Read(use, path, None)
    return _of_run(use, path)


def _of_run(use: Use, run: Path) -> Read:
    return Read(use, run / CHECKPOINTS / BEST, run)
