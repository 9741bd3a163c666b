"""Checks of what a job needs: its data, weights, checkpoints and disk space."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.contract.units import size
from xray_tui.jobs.launch.dependencies import Checkpoint, is_file, required_checkpoints
from xray_tui.jobs.launch.resolve import ResolvedJob, config_of_run
from xray_tui.jobs.preflight.dataset import check_dataset
from xray_tui.jobs.preflight.disk_space import free_space
from xray_tui.jobs.preflight.pretrained_weights import check_weights

OK, WARNING, BAD = "✓", "!", "✗"

RECOMMENDED_SPACE = 2 << 30
"""Bytes for a job without similar past jobs: enough for medium-sized checkpoints and cached images."""
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


def checks(job: ResolvedJob, coming: Mapping[str, str] = MappingProxyType({})) -> list[Check]:
    """Check the job's data, weights and checkpoints. Blocks while the disk is slow.

    `coming` maps the real path of each run that another job will train before this job starts to a description of that
    job, which is empty if both are launched together.
    """
    if job.kind == "evaluate" and job.config.get("kind") == "blend":
        return [
            Check(BAD, f"{clean(job.folder.name)}: a blend, which was scored when it was made; evaluate its members")
        ]
    checkpoints = [check for item in required_checkpoints(job) if (check := _checkpoint(item, coming)) is not None]
    if job.kind == "train":
        return [_data(job, ("train", "val")), *_program_or_weights(job), *checkpoints]
    if job.kind == "evaluate":
        return [*checkpoints, _data(job, ("val", "test")), *_tta(*job.options[:1])]
    return [*checkpoints, *_members(job), *_tta(job.config.get("tta"))] if job.kind == "blend" else []


def check_space(runs: Path, before: int | None) -> Check:
    """Check the free disk space and quota. `before`: bytes that similar past runs wrote, None if unknown."""
    needed = RECOMMENDED_SPACE if before is None else before
    why = f"at least {size(needed)} is recommended" if before is None else f"similar runs needed {size(before)}"
    try:
        free, inodes, quota = free_space(runs.absolute())
    except OSError as error:
        return Check(WARNING, f"disk: {clean(str(runs))}: {clean(error.strerror or str(error))}")
    if inodes == 0:
        return Check(BAD, "disk: no new file is possible (no free inode)")
    left = f"disk: {size(free)} free"
    if quota is not None:
        left += f", {size(max(0, quota))} left of your quota"
        free = min(free, quota)
    if free >= needed:
        return Check(OK, left if before is None else f"{left}; {why}")
    return Check(WARNING if before is None else BAD, f"{left}; {why}")


def _data(job: ResolvedJob, splits: tuple[str, ...]) -> Check:
    if job.manifest is None:
        return Check(BAD, f"data: {clean(job.folder.name)}: no manifest; expected a config with data.manifest")
    is_complete, summary = check_dataset(job.manifest, splits, job.section("data").get("fold") is not None)
    if is_file(job.folder / names.CONFIG) and not is_file(job.manifest):  # the run exists
        run = clean(shlex.quote(str(job.folder)))
        summary += f"; if the data were moved: xray-engine evaluate --run {run} --manifest NEW.csv"
    return Check(OK if is_complete else BAD, f"data: {summary}")


def _tta(tta: object = "auto") -> list[Check]:
    """Say which TTA the engine will use; nothing for `auto` before the runs have configs."""
    return [Check(OK, f"TTA {clean(str(tta))}")] if tta not in (None, "auto") else []


def _program_or_weights(job: ResolvedJob) -> list[Check]:
    """For nnU-Net, look for its command where the engine does: next to this Python, or on the PATH. Otherwise check the
    pretrained weights, unless a resumed training or init_from replaces them."""
    if job.config.get("kind") == "nnunet":
        if any(shutil.which(_NNUNET_TRAIN, path=path) for path in (str(Path(sys.executable).parent), None)):
            return [Check(OK, f"nnU-Net: {_NNUNET_TRAIN}")]
        return [Check(BAD, f"nnU-Net: {_NNUNET_TRAIN} is missing: pip install 'xray-tui[nnunet]'")]
    model = job.section("model")
    if job.checkpoint is not None or not model.get("encoder_weights") or job.section("training").get("init_from"):
        return []
    is_available, text = check_weights(model)
    return [Check({True: OK, None: WARNING, False: BAD}[is_available], f"weights: {text}")]


def _members(job: ResolvedJob) -> list[Check]:
    """Check the members by the engine's rule: no duplicates, and at least two members or one with a presence_run."""
    count = len(job.members)
    if len(set(job.members)) < count:
        return [Check(BAD, "members: a run is listed twice; expected each run once")]
    if count > 1 or (count and job.config.get("presence_run")):
        return []
    return [Check(BAD, f"members: got {count}; expected at least two runs, or one and presence_run")]


def _checkpoint(checkpoint: Checkpoint, coming: Mapping[str, str]) -> Check | None:
    """Check that the checkpoint is usable and exists or will exist; None if its training is launched with the job."""
    use, path, run = checkpoint.use, checkpoint.path, checkpoint.run
    if run is None:
        shown = f"{use}: {clean(str(path))}"
        return Check(OK, shown) if is_file(path) else Check(BAD, f"{shown}: no such file")
    training = coming.get(os.path.realpath(run))
    if training == "":
        return None
    try:
        config = config_of_run(run)
    except BadInput:  # it has none before its training
        kind = ""
    else:
        kind = str(config.get("kind", "train"))
        if (reason := _misfit(use, kind, config)) is not None:
            return Check(BAD, f"{use}: {clean(run.name)}: {reason}")
    if use == "member" and kind == "nnunet":
        return _predicted(run)
    shown = f"{use}: {clean(run.name)}/{names.CHECKPOINTS}/{clean(path.name)}"
    if training is not None:
        return Check(OK, f"{shown} comes from {training}")
    return Check(OK, shown) if is_file(path) else Check(BAD, f"{shown}: no such file, and no job will write it")


def _misfit(use: str, kind: str, config: Mapping[str, Any]) -> str | None:
    """Why the run's config rules out this use; None if it does not."""
    if use == "member" and kind == "classifier":
        return "a classifier, which has no masks; it can be the presence_run"
    if use == "member" and kind == "blend":
        return "a blend; expected its members"
    if use == "presence_run" and kind in ("train", "blend", "nnunet"):
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
    return Check(BAD, f"{shown}: incomplete for val or test; create them: xray-engine evaluate --run {clean(str(run))}")
