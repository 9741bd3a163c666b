"""The board as Markdown, written where the settings say, and what there is to say of that. Not for the UI thread."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from xray_tui.app.messages import Said

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.jobs.model.job import Job

RECENT = 10.0
"""Seconds up to which an export takes the app's last look at the GPUs for the latest."""


def export(board: Board, to: Path | None, gpus: Gpus | None, jobs: Iterable[Job]) -> Said:
    """Write the board to `to`, or beside its runs folder, with the GPUs as last seen if that was just now."""
    from engine.contract.files import write_whole
    from xray_tui.board.export import default_path, to_markdown
    from xray_tui.gpu.export_text import sentences
    from xray_tui.gpu.sampler import sample_once
    from xray_tui.jobs.supervise.process_owners import owners, runs_by_gpu

    path = (to or default_path(board.runs)).absolute()
    # After Ctrl+Z and `fg` what was seen last may be of hours ago, and nobody has called it old yet.
    recent = gpus is not None and (gpus.snapshot.stale or gpus.snapshot.age(time.time()) < RECENT)
    snapshot, looks = (gpus.snapshot, gpus.looks) if gpus is not None and recent else (sample_once(), None)
    whose = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs)
    status = sentences(snapshot, {pid: owner.run for pid, owner in whose.items()}, runs_by_gpu(jobs), looks)
    try:
        write_whole(path, to_markdown(board, status, time.strftime("%Y-%m-%d %H:%M:%S")))
    except OSError as error:
        return Said(f"{path}: {error.strerror or error}; `export` in the settings names another file", "error")
    count = len(board.rows)
    return Said(f"Exported {count} run{'' if count == 1 else 's'} to {path}")
