"""What a job needs, looked at before it is launched: its data, weights, checkpoints, and room for what it writes."""

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
"""Bytes: checkpoints of a middling network, and the cached images of a middling set."""
_NNUNET_VIEWS = ("mirror", "none")
_NNUNET_TRAIN = "nnUNetv2_train"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: how it stands, and what was looked at. Safe to print."""

    sign: str
    text: str

    @property
    def is_bad(self) -> bool:
        """Whether the job would fail for it."""
        return self.sign == BAD


Coming = Callable[[Path], str | None]
"""Says of a run folder which job will have trained it by then, in words; None where none will, and "" where that is
launched with it."""


def checks(asked: Asked, coming: Coming = lambda folder: None) -> list[Check]:
    """What a job starts from. Takes as long as the disk does."""
    found = [check for read in reads(asked) if (check := _checkpoint(read, coming)) is not None]
    if asked.kind == "train":
        if asked.config.get("kind") == "nnunet":
            needed = [_nnunet()]
        else:
            needed = [] if asked.checkpoint is not None else _weights(asked.config)
        return [_data(asked, ("train", "val")), *needed, *found]
    if asked.kind == "evaluate":
        return [*found, _data(asked, ("val", "test"))]
    if asked.kind == "blend":
        return [*found, *_members(asked)]
    return []


def room_check(runs: Path, before: int | None) -> Check:
    """Whether there is room on the disk and in the quota; `before` is what similar runs wrote for as many jobs, in
    bytes, if known."""
    wanted = LEAST_ROOM if before is None else before
    why = f"at least {size(wanted)} would be safe" if before is None else f"by similar runs it takes {size(before)}"
    try:
        there = room(runs.absolute())
    except OSError as error:
        return Check(WARNING, f"disk: {clean(str(runs))}: {clean(error.strerror or str(error))}")
    if there.files == 0:
        return Check(BAD, "disk: no file more (no inode is free)")
    left = f"disk: {size(there.free)} free"
    if there.quota is not None:
        left += f", {size(max(0, there.quota))} left of your quota"
    free = there.free if there.quota is None else min(there.free, there.quota)
    if free >= wanted:
        return Check(OK, left if before is None else f"{left}; {why}")
    return Check(WARNING if before is None else BAD, f"{left}; {why}")


def _data(asked: Asked, splits: tuple[str, ...]) -> Check:
    if asked.manifest is None:
        return Check(BAD, f"data: no config of {clean(asked.folder.name)} names a manifest")
    data = asked.config.get("data")
    has_folds = isinstance(data, dict) and data.get("fold") is not None
    is_whole, found = look_at_data(asked.manifest, splits, has_folds)
    if asked.checkpoint is not None and not is_file(asked.manifest):
        run = clean(shlex.quote(str(asked.folder)))
        found += f"; if the data were moved: xray-engine evaluate --run {run} --manifest NEW.csv"
    return Check(OK if is_whole else BAD, f"data: {found}")


# Weights and checkpoints


def _weights(config: Any) -> list[Check]:
    model, training = config.get("model"), config.get("training")
    if not isinstance(model, dict) or not model.get("encoder_weights"):
        return []
    if isinstance(training, dict) and training.get("init_from"):
        return []  # that brings all weights: none are fetched
    if (problem := weights_problem(model)) is not None:
        return [Check(BAD, f"weights: {problem}")]
    shown = f"weights: {shown_weights(model)}"
    if (cached := is_cached(model)) is None:
        return []
    return [Check(OK, shown) if cached else Check(WARNING, f"{shown} is not in the cache; the training downloads it")]


def _nnunet() -> Check:
    """Whether its commands are there: beside this Python, or on the PATH, as the engine looks for them."""
    if shutil.which(_NNUNET_TRAIN, path=os.path.dirname(sys.executable)) or shutil.which(_NNUNET_TRAIN):  # noqa: PTH120
        return Check(OK, f"nnU-Net: {_NNUNET_TRAIN}")
    return Check(BAD, f"nnU-Net: {_NNUNET_TRAIN} is missing: pip install 'xray-tui[nnunet]'")


def _members(asked: Asked) -> list[Check]:
    """As the engine has it: each once, and one will do beside a run that has a presence score to mix in."""
    count = len(asked.members)
    if len(set(asked.members)) < count:
        return [Check(BAD, "members: a run stands there twice; each once is right")]
    if count > 1 or (count and asked.config.get("presence_run")):
        return []
    return [Check(BAD, f"members: {count} given; a blend needs two runs or more, or one and presence_run")]


def _checkpoint(read: Read, coming: Coming) -> Check | None:
    """Whether it is there or will be, and can be used so; None where its training is launched with the job."""
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
    """(kind of the run, its config); "" where none can be read, as of a run that is still to be trained."""
    try:
        config = config_of_run(run)
    except BadInput:
        return "", {}
    return str(config.get("kind", "train")), config


def _unfit(read: Read, kind: str, config: Mapping[str, Any]) -> str | None:
    """Why the run can never be used so, as far as its config tells; None where it can."""
    if read.use == "member":
        if kind == "classifier":
            return "a classifier, which has no masks; it can be the presence_run"
        return "a blend; its members are right" if kind == "blend" else None
    if read.use == "presence_run" and kind in ("train", "blend", "nnunet"):
        model = config.get("model")
        if not isinstance(model, dict) or model.get("classification_head") is None:
            return "has no classification head; a classifier or a run with one is right"
    return None


def _predicted(run: Path) -> Check:
    """Of nnU-Net's run a blend reads what it predicted."""
    folder, shown = run / names.PREDICTIONS, f"member: {clean(run.name)}/{names.PREDICTIONS}"
    for view in _NNUNET_VIEWS:
        if all((folder / f"{split}_{view}").is_dir() for split in ("val", "test")):
            return Check(OK, f"{shown} of nnU-Net")
    return Check(
        BAD, f"{shown}: not of val and test yet; xray-engine nnunet predict --run {clean(str(run))} makes them"
    )
