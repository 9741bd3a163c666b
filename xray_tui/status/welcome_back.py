"""What the app tells once, when it is opened after an absence."""

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
"""Seconds without a key in any app, and without a status, after which one has been away."""
NOTE_EVERY = 60.0
"""Seconds between two notes that somebody is here."""


class ComingBack:
    """Calls `on_report` once, from a thread, if the user has been away and there is something to tell.

    It waits for the first board and the first jobs. From then on it notes that the user is here: an app that is left
    open overnight is none that was looked at.
    """

    def __init__(self, runs: Path, on_report: Callable[[Report], None]) -> None:
        self._runs = runs
        self._on_report = on_report
        self._board: Board | None = None
        self._jobs: tuple[Job, ...] | None = None
        self._lock = Lock()
        self._noted: float | None = None
        """When it was noted last; None until the absence has been looked at."""

    def know(self, *, board: Board | None = None, jobs: tuple[Job, ...] | None = None) -> None:
        """What is known by now; nothing happens after the first of both."""
        if self._board is not None and self._jobs is not None:
            return
        self._board, self._jobs = board or self._board, self._jobs if jobs is None else jobs
        if self._board is not None and self._jobs is not None:
            Thread(target=self._look, args=(self._board, self._jobs), name="coming-back", daemon=True).start()

    def used(self) -> None:
        """Somebody pressed a key."""
        with self._lock:
            now = time.time()
            if self._noted is None or 0 <= now - self._noted < NOTE_EVERY:
                return
            self._noted = now
        Thread(target=note_use, args=(self._runs, now), name="last-use", daemon=True).start()

    def _look(self, board: Board, jobs: tuple[Job, ...]) -> None:
        from xray_tui.status.report import report

        now = time.time()
        since = last_use(self._runs, now)
        note_use(self._runs, now)
        with self._lock:
            self._noted = now
        if since is not None and now - since >= ABSENCE:
            told = report(jobs, board, since, now)
            if told.has_news:
                self._on_report(told)
