"""The export key: write the board as Markdown. Blocks, so it must not run on the UI thread."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from xray_tui.app.messages import Notice

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.jobs.model.job import Job

RECENT = 10.0
"""Largest age in seconds of a GPU snapshot that an export still uses."""


def export(board: Board, target: Path | None, gpus: Gpus | None, jobs: Iterable[Job]) -> Notice:
    """Write the board to `target` (default: beside the runs folder), with a recent GPU snapshot or a new one."""
    from engine.contract.files import write_whole
    from xray_tui.board.export import default_path, to_markdown
    from xray_tui.gpu.export_text import sentences
    from xray_tui.gpu.sampler import sample_once
    from xray_tui.jobs.supervise.process_owners import owners, runs_by_gpu

    path = (target or default_path(board.runs)).absolute()
    # After Ctrl+Z and `fg` the last snapshot may be hours old without being marked stale.
    recent = gpus is not None and (gpus.snapshot.stale or gpus.snapshot.age(time.time()) < RECENT)
    snapshot, looks = (gpus.snapshot, gpus.looks) if gpus is not None and recent else (sample_once(), None)
    whose = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs)
    status = sentences(snapshot, {pid: owner.run for pid, owner in whose.items()}, runs_by_gpu(jobs), looks)
    try:
        write_whole(path, to_markdown(board, status, time.strftime("%Y-%m-%d %H:%M:%S")))
    except OSError as error:
        return Notice(f"{path}: {error.strerror or error}; `export` in the settings names another file", "error")
    count = len(board.rows)
    return Notice(f"Exported {count} run{'' if count == 1 else 's'} to {path}")
