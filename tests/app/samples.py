"""Artifacts and jobs as the tests of the app want them, at a fixed time."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.cells import cell_len

from xray_tui.feeds.host_feed import Host
from xray_tui.gpu.snapshot import GpuSample
from xray_tui.jobs.model.job import Job, JobSpec, Progress, State
from xray_tui.logs.log_file import Log

NOW = 1_771_115_932.0
"""2026-02-15 00:38:52 UTC, the time in all tests of this room."""

GIB = 1 << 30


def write_artifact(
    runs: Path, run: str, dice: float, age: float = 3600.0, name: str = "test_metrics.json", **more: object
) -> Path:
    """One test artifact, `age` seconds old."""
    path = runs / run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "dice_pos": dice,
        "iou_pos": round(dice * 0.72, 4),
        "roc_auc_presence": round(0.5 + dice, 4),
        "average_precision_presence": round(0.2 + dice, 4),
        "precision_pos": round(dice / 4, 4),
        "recall_pos": round(dice + 0.2, 4),
        "threshold": 0.25,
        "tta_mode": "hv",
        **more,
    }
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    os.utime(path, (NOW - age, NOW - age))
    return path


def make_job(
    identity: str, run: str, state: State, kind: str = "train", progress: Progress | None = None, **more: object
) -> Job:
    """A job of some minutes ago."""
    values: dict[str, object] = {"created": NOW - 700, "started": NOW - 640, **more}
    if state.ended:
        values.setdefault("ended", NOW - 130)
    return Job(identity, JobSpec(kind, run, ()), state, progress=progress, **values)  # type: ignore[arg-type]


def make_gpu(index: int, **values: object) -> GpuSample:
    """An idle A100 on which nobody works, unless the values say otherwise."""
    idle: dict[str, object] = {
        "name": "NVIDIA A100-SXM4-80GB",
        "utilisation": 0,
        "memory_used": GIB,
        "memory_total": 80 * GIB,
        "temperature": 32,
        "power": 58.0,
        "power_limit": 400.0,
        "sm_clock": 1410,
        "processes": (),
    }
    return GpuSample(index, f"GPU-{index}", **{**idle, **values})  # type: ignore[arg-type]


def make_host(**values: object) -> Host:
    """A server on which nothing is short, unless the values say otherwise."""
    wide: dict[str, object] = {
        "cpu": 43,
        "load": 35.2,
        "memory_used": 120 * GIB,
        "memory_total": 512 * GIB,
        "shm_used": GIB,
        "shm_total": 256 * GIB,
        "disk_free": 812 * GIB,
        "disk_total": 4000 * GIB,
    }
    return Host(64, 64, **{**wide, **values})  # type: ignore[arg-type]


def make_log(lines: tuple[str, ...]) -> Log:
    """A log of these lines."""
    return Log(lines, width=max(map(cell_len, lines), default=0), edition=1)
