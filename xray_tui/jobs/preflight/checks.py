"""Checks of what a job needs: its data, weights, checkpoints and disk space."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.contract.units import size
from xray_tui.jobs.launch.checkpoints import Read, is_file, reads
from xray_tui.jobs.launch.resolve import Asked, config_of_run
from xray_tui.jobs.preflight.dataset import look_at_data
from xray_tui.jobs.preflight.disk_space import room
from xray_tui.jobs.preflight.pretrained_weights import is_cached, shown_weights, weights_problem

OK, WARNING, BAD = "✓", "!", "✗"

LEAST_ROOM = 2 << 30
"""Recommended disk space in bytes for a job without similar past jobs: medium-sized checkpoints and cached images."""
_NNUNET_VIEWS = ("mirror", "none")
_NNUNET_TRAIN = "nnUNetv2_train"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check, in one line that is safe to print."""

    sign: str
    text: str

    @property
    def is_bad(self) -> bool:
        """Whether the job would fail."""
        return self.sign == BAD


Coming = Callable[[Path], str | None]
"""Describes the job that will train a run folder before this job starts: "" if both are launched together, None if
there is no such job."""


def checks(asked: Asked, coming: Coming = lambda folder: None) -> list[Check]:
    """Check the job's data, weights and checkpoints. Blocks while the disk is slow."""
    checkpoints = [check for read in reads(asked) if (check := _checkpoint(read, coming)) is not None]
    if asked.kind == "train":
        if asked.config.get("kind") == "nnunet":
            needed = [_nnunet()]
        else:
            needed = [] if asked.checkpoint is not None else _weights(asked.config)
        return [_data(asked, ("train", "val")), *needed, *checkpoints]
    if asked.kind == "evaluate":
        return [*checkpoints, _data(asked, ("val", "test"))]
    if asked.kind == "blend":
        return [*checkpoints, *_members(asked)]
    return []


def room_check(runs: Path, before: int | None) -> Check:
    """Check the free disk space and quota. `before`: bytes that similar past runs wrote for the same jobs, if known."""
    needed = LEAST_ROOM if before is None else before
    why = f"at least {size(needed)} is recommended" if before is None else f"similar runs needed {size(before)}"
    try:
        space = room(runs.absolute())
    except OSError as error:
        return Check(WARNING, f"disk: {clean(str(runs))}: {clean(error.strerror or str(error))}")
    if space.files == 0:
        return Check(BAD, "disk: no new file is possible (no free inode)")
    left = f"disk: {size(space.free)} free"
    if space.quota is not None:
        left += f", {size(max(0, space.quota))} left of your quota"
    free = space.free if space.quota is None else min(space.free, space.quota)
    if free >= needed:
        return Check(OK, left if before is None else f"{left}; {why}")
    return Check(WARNING if before is None else BAD, f"{left}; {why}")


def _data(asked: Asked, splits: tuple[str, ...]) -> Check:
    if asked.manifest is None:
        return Check(BAD, f"data: {clean(asked.folder.name)}: no manifest; expected a config with data.manifest")
    data = asked.config.get("data")
    has_folds = isinstance(data, dict) and data.get("fold") is not None
    is_complete, summary = look_at_data(asked.manifest, splits, has_folds)
    if asked.checkpoint is not None and not is_file(asked.manifest):
        run = clean(shlex.quote(str(asked.folder)))
        summary += f"; if the data were moved: xray-engine evaluate --run {run} --manifest NEW.csv"
    return Check(OK if is_complete else BAD, f"data: {summary}")


# Weights and checkpoints


def _weights(config: Any) -> list[Check]:
    model, training = config.get("model"), config.get("training")
    if not isinstance(model, dict) or not model.get("encoder_weights"):
        return []
    if isinstance(training, dict) and training.get("init_from"):
        return []  # init_from contains all weights, so nothing is downloaded
    if (problem := weights_problem(model)) is not None:
        return [Check(BAD, f"weights: {problem}")]
    shown = f"weights: {shown_weights(model)}"
    if (cached := is_cached(model)) is None:
        return []
    return [Check(OK, shown) if cached else Check(WARNING, f"{shown} is not in the cache; the training downloads it")]


def _nnunet() -> Check:
    """Check for nnU-Net's command, like the engine: next to this Python, or on the PATH."""
    if shutil.which(_NNUNET_TRAIN, path=os.path.dirname(sys.executable)) or shutil.which(_NNUNET_TRAIN):  # noqa: PTH120
        return Check(OK, f"nnU-Net: {_NNUNET_TRAIN}")
    return Check(BAD, f"nnU-Net: {_NNUNET_TRAIN} is missing: pip install 'xray-tui[nnunet]'")


def _members(asked: Asked) -> list[Check]:
    """Check the members by the engine's rule: no duplicates, and at least two members or one with a presence_run."""
    count = len(asked.members)
    if len(set(asked.members)) < count:
        return [Check(BAD, "members: a run is listed twice; expected each run once")]
    if count > 1 or (count and asked.config.get("presence_run")):
        return []
    return [Check(BAD, f"members: got {count}; expected at least two runs, or one and presence_run")]


def _checkpoint(read: Read, coming: Coming) -> Check | None:
    """Check that the checkpoint is usable and exists or will exist; None if its training is launched with the job."""
    if read.run is None:
        shown = f"{read.use}: {clean(str(read.path))}"
        return Check(OK, shown) if is_file(read.path) else Check(BAD, f"{shown}: no such file")
    expected = coming(read.run)
    if expected == "":
        return None
    kind, config = _kind_of(read.run)
    if (reason := _unfit(read, kind, config)) is not None:
        return Check(BAD, f"{read.use}: {clean(read.run.name)}: {reason}")
    if read.use == "member" and kind == "nnunet":
        return _predicted(read.run)
    shown = f"{read.use}: {clean(read.run.name)}/{names.CHECKPOINTS}/{clean(read.path.name)}"
    if expected is not None:
        return Check(OK, f"{shown} comes from {expected}")
    if is_file(read.path):
        return Check(OK, shown)
    return Check(BAD, f"{shown}: no such file, and no job will write it")


def _kind_of(run: Path) -> tuple[str, Mapping[str, Any]]:
    """(kind of the run, its config); ("", {}) if no config can be read, such as before the training."""
    try:
        config = config_of_run(run)
    except BadInput:
        return "", {}
    return str(config.get("kind", "train")), config


def _unfit(read: Read, kind: str, config: Mapping[str, Any]) -> str | None:
    """Why the run's config rules out this use; None if it does not."""
    if read.use == "member":
        if kind == "classifier":
            return "a classifier, which has no masks; it can be the presence_run"
        return "a blend; expected its members" if kind == "blend" else None
    if read.use == "presence_run" and kind in ("train", "blend", "nnunet"):
        model = config.get("model")
        if not isinstance(model, dict) or model.get("classification_head") is None:
            return "no classification head; expected a classifier or a run with such a head"
    return None


def _predicted(run: Path) -> Check:
    """Check the predictions of an nnU-Net run, which a blend reads instead of a checkpoint."""
    folder, shown = run / names.PREDICTIONS, f"member: {clean(run.name)}/{names.PREDICTIONS}"
    for view in _NNUNET_VIEWS:
        if all((folder / f"{split}_{view}").is_dir() for split in ("val", "test")):
            return Check(OK, f"{shown} of nnU-Net")
    return Check(
        BAD, f"{shown}: incomplete for val or test; create them: xray-engine nnunet predict --run {clean(str(run))}"
    )
