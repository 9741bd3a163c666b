"""What a job needs, looked at before it is launched: its data, weights, checkpoints, and room for what it writes."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.contract import names
from engine.contract.text import clean
from xray_tui.jobs.asked import Asked
from xray_tui.jobs.estimate import size
from xray_tui.jobs.hub import IMAGENET, PACKAGES, hub_problem
from xray_tui.jobs.room import room

OK, WARNING, BAD = "✓", "!", "✗"

SAMPLE = 200
"""Images that are looked for; a set of ten thousand on a file server takes too long."""
PATIENCE = 3.0
"""Seconds after which no more of them are."""
REMEMBERED = 10.0
"""Seconds for which a set that was looked at is not looked at again."""
LEAST_ROOM = 2 << 30
"""Bytes: checkpoints of a middling network, and the cached images of a middling set."""
_LARGEST_TABLE = 256 << 20
_COLUMNS = ("id", "image", "mask", "split")


@dataclass(frozen=True, slots=True)
class Check:
    """One line: how it stands, and what was looked at. Safe to print."""

    sign: str
    text: str

    @property
    def is_bad(self) -> bool:
        """Whether the job would fail for it."""
        return self.sign == BAD


def checks(asked: Asked, coming: Callable[[Path], str | None] = lambda folder: None) -> list[Check]:
    """What a job starts from. `coming` says of a run folder which job will have trained it by then, in words; None
    where none will, and "" where that is launched with it. Takes as long as the disk and the hub do."""
    if asked.kind == "train":
        checkpoint = [] if asked.checkpoint is None else [_checkpoint(asked.folder, asked.checkpoint, None)]
        return [_data(asked, ("train", "val")), *_weights(asked.config), *checkpoint]
    if asked.kind == "evaluate":
        expected = coming(asked.folder)
        name = asked.checkpoint or names.BEST
        checkpoint = [] if expected == "" else [_checkpoint(asked.folder, name, expected)]
        return [*checkpoint, _data(asked, ("val", "test"))]
    if asked.kind == "blend":
        members = [_checkpoint(member, names.BEST, coming(member)) for member in asked.members]
        few = Check(BAD, f"members: {len(asked.members)} given; a blend needs two runs or more")
        return members if len(members) > 1 else [*members, few]
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


# Data


def _data(asked: Asked, splits: tuple[str, ...]) -> Check:
    if asked.manifest is None:
        return Check(BAD, f"data: no config of {clean(asked.folder.name)} names a manifest")
    name = clean(str(asked.manifest))
    try:
        changed = asked.manifest.stat().st_mtime_ns
        return _judge_data(asked.manifest, changed, splits, int(time.monotonic() / REMEMBERED))
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Check(BAD, f"data: {name}: {clean(reason or str(error))}")


@lru_cache(maxsize=8)
def _judge_data(manifest: Path, changed: int, splits: tuple[str, ...], moment: int) -> Check:
    name = clean(str(manifest))
    rows = _read_table(manifest)
    counts = Counter(row["split"] for row in rows)
    if empty := [split for split in splits if not counts[split]]:
        return Check(BAD, f"data: {name}: no image of split {' and '.join(empty)}")
    shown = " and ".join(f"{counts[split]} {split}" for split in splits)
    return _images(f"{shown} images in {name}", manifest, [row for row in rows if row["split"] in splits])


def _images(shown: str, manifest: Path, rows: Sequence[dict[str, str]]) -> Check:
    """Whether the images and masks are there: all of them, or some of many, spread evenly."""
    looked = missing = 0
    first = ""
    deadline = time.monotonic() + PATIENCE
    step = max(1, len(rows) // SAMPLE)
    for row in rows[::step]:
        gone = [path for path in (row["image"], row["mask"]) if path and not _is_file(manifest.parent / path)]
        looked, missing = looked + 1, missing + bool(gone or not row["image"])
        first = first or next(iter(gone), "")
        if time.monotonic() > deadline:
            break
    some = "" if looked == len(rows) else f", {looked} looked at"
    if missing:
        such = f", such as {clean(first)}" if first else ""
        return Check(BAD, f"data: {clean(str(manifest))}: files of {missing} of {looked} images are missing{such}")
    return Check(OK, f"data: {shown}{some}")


def _read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest. Raises OSError, csv.Error, and ValueError with the reason."""
    if path.stat().st_size > _LARGEST_TABLE:
        raise ValueError(f"larger than {_LARGEST_TABLE >> 20} MiB; that is no manifest")
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [column for column in _COLUMNS if column not in map(str.strip, reader.fieldnames or ())]
            if missing:
                raise ValueError(f"no column {', '.join(missing)}; that is no manifest")
            return [{str(key).strip(): str(value or "").strip() for key, value in row.items()} for row in reader]
        except UnicodeDecodeError:
            raise ValueError("not UTF-8 text; a CSV file is right") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


# Weights and checkpoints


def _weights(config: Any) -> Iterator[Check]:
    model = config.get("model")
    weights = model.get("encoder_weights") if isinstance(model, dict) else None
    if not weights:
        return
    if weights != IMAGENET and weights not in PACKAGES:
        there = _is_file(Path(weights))
        yield Check(OK if there else BAD, f"weights: {clean(weights)}{'' if there else ': no such file'}")
        return
    problem = hub_problem(weights, str(model.get("encoder")))
    if problem is None:
        yield Check(OK, f"weights: {clean(weights)} for {clean(str(model.get('encoder')))}")
    else:
        yield Check(BAD, f"weights: {problem}")


def _checkpoint(folder: Path, name: str, coming: str | None) -> Check:
    path = folder / names.CHECKPOINTS / name
    shown = f"{clean(folder.name)}/{names.CHECKPOINTS}/{name}"
    if coming is not None:
        return Check(OK, f"checkpoint: {shown} comes from {coming}")
    if _is_file(path):
        return Check(OK, f"checkpoint: {shown}")
    return Check(BAD, f"checkpoint: {shown}: no such file, and no job will write it")
