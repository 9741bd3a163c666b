"""The report that the app shows once when it is opened after an absence."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

from xray_tui.status.last_visit import last_use, note_use

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.jobs.model.job import Job
    from xray_tui.status.report import Report

ABSENCE = 30 * 60.0
"""Seconds without a key in any app and without `xray-tui status` after which the user counts as away."""
NOTE_EVERY = 60.0
"""Seconds between two updates of the time of the last visit."""


class WelcomeBack:
    """Calls `on_report` once, from a thread, if the user has been away and there is news.

    The report is built from the first board and the first jobs. After that, keys update the time of the last visit; an
    app that is open without a key being pressed does not.
    """

    def __init__(self, runs: Path, on_report: Callable[[Report], None]) -> None:
        self._runs = runs
        self._on_report = on_report
        self._board: Board | None = None
        self._jobs: tuple[Job, ...] | None = None
        self._lock = Lock()
        self._noted: float | None = None
        """Time of the last update; None until the report has been built."""

    def update(self, *, board: Board | None = None, jobs: tuple[Job, ...] | None = None) -> None:
        """Build the report when the first board and the first jobs are known; later calls do nothing."""
        if self._board is not None and self._jobs is not None:
            return
        self._board, self._jobs = board or self._board, self._jobs if jobs is None else jobs
        if self._board is not None and self._jobs is not None:
            Thread(target=self._report, args=(self._board, self._jobs), name="welcome-back", daemon=True).start()

    def used(self) -> None:
        """Note that the user pressed a key."""
        with self._lock:
            now = time.time()
            if self._noted is None or 0 <= now - self._noted < NOTE_EVERY:
                return
            self._noted = now
        Thread(target=note_use, args=(self._runs, now), name="last-use", daemon=True).start()

    def _report(self, board: Board, jobs: tuple[Job, ...]) -> None:
        from xray_tui.status.report import build_report

        now = time.time()
        since = last_use(self._runs, now)
        note_use(self._runs, now)
        with self._lock:
            self._noted = now
        if since is not None and now - since >= ABSENCE:
            report = build_report(jobs, board, since, now)
            if report.has_news:
                self._on_report(report)
