"""Names of files and folders in a run folder and in a job folder, and names of test artifacts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

RUNS = "runs"
CONFIG = "config.yaml"
SPLIT = "split.csv"
"""The ids of the train and val images of a run on one fold."""
DATA = "data.csv"
WINDOW = "window.yaml"
"""The grey-level window of a run whose images have more than 8 bits."""
NOTE = "note.yaml"
BOARD = "board.yaml"
EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints"
BEST = "best.pt"
LAST = "last.pt"
OVERLAP = "overlap.json"
"""In the folder of a run that was trained with --allow-overlap: the overlaps that were found."""
AVERAGE = "average.json"
"""File in the folder of an averaged run that lists the averaged checkpoints."""
PREDICTIONS = "predictions"
MANIFEST = "manifest.csv"
HEADER = "manifest.yaml"
"""Beside the manifest: the grey-level window of its images."""
LOOKS = ".looks.jsonl"
"""In the runs folder: a line for each choice that was scored on a test split."""
ARTIFACT_GLOB = "*test_metrics*.json"

JOBS = ".jobs"
JOB = "job.json"
LOG = "log.txt"
PROGRESS = "progress.json"
END = "end.json"

JOB_DIR_ENV = "XRAY_JOB_DIR"
"""Environment variable of a job's engine: the folder for PROGRESS (updated regularly) and END (written once)."""

RUN_ENV = "XRAY_TUI_RUN"
"""Environment variable of a job's engine: its run."""

LEASES_ENV = "XRAY_TUI_LEASE_FDS"
"""Environment variable of a job's engine: open descriptors of its GPU locks, which its children must not inherit."""

ENGINE_GIT_ENV = "XRAY_ENGINE_GIT"
"""Environment variable of a job's engine: the commit of its code, with `-dirty` for changed files, or empty."""

SCHEMA = "xray-test-metrics/1"

Tta = Literal["auto", "none", "h", "v", "hv", "d4"]
"""Test-time augmentation; auto: see `trained_tta`."""
PresenceSource = Literal["cls", "max", "mean", "topk_mean", "pred_area"]
"""Sources of a presence score: the classification head, or a function in engine/evaluation/presence.py."""
Presence = Literal["auto", PresenceSource]

_SHORT = {"topk_mean": "topk", "pred_area": "area"}


def artifact_stem(tta: str, threshold: float | Literal["tuned"] | None, presence: str, gated: bool) -> str:
    """`test_metrics[_tta_hv][_thr025|_tuned][_cls|…][_gated]`, the name of an artifact without its suffix. `threshold`
    is None for a classifier.

    >>> artifact_stem("hv", 0.25, "auto", False)
    'test_metrics_tta_hv_thr025'
    >>> artifact_stem("none", "tuned", "cls", True)
    'test_metrics_tuned_cls_gated'
    """
    view = "" if tta == "none" else f"_tta_{tta}"
    at = "" if threshold is None else "_tuned"
    if isinstance(threshold, float | int):  # 0.25 -> 025, 0.5 -> 050, 0.125 -> 0125
        whole, _, fraction = f"{threshold:.6f}".rstrip("0").partition(".")
        at = f"_thr{whole}{fraction.ljust(2, '0')}"
    source = "" if presence == "auto" else f"_{_SHORT.get(presence, presence)}"
    return f"test_metrics{view}{at}{source}{'_gated' if gated else ''}"


def trained_tta(flips: Sequence[tuple[float, float]]) -> str:
    """The TTA that `auto` stands for: the flips that the training of every run included. `flips`: the chances of a
    horizontal and a vertical flip (hflip, vflip) of each run."""
    axes = zip("hv", (all(horizontal for horizontal, _ in flips), all(vertical for _, vertical in flips)), strict=True)
    return "".join(axis for axis, is_trained in axes if is_trained) or "none"


def run_path(path: str) -> str:
    """A run's path in the normal form that is stored and compared: "a" for "a/", "a/.", ".//a" and "b/../a"."""
    return os.path.normpath(path) if path else ""


def run_folder(path: str) -> Path:
    """The folder that a command's --run names."""
    return Path(run_path(path))
