"""The time of this user's last visit to a runs folder, and the report that the app shows once after an absence."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.files import write_json
from engine.contract.text import clean
from xray_tui.jobs.model.job import parse_object
from xray_tui.system.safe_files import read_small

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.jobs.model.job import Job
    from xray_tui.status.report import Report

DAY = 86_400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhdw])")

ABSENCE = 30 * 60.0
"""Seconds without a key in any app and without `xray-tui status` after which the user counts as away."""
NOTE_EVERY = 60.0
"""Minimum seconds between two updates of the time of the last visit."""


def parse_since(text: str, now: float) -> float:
    """The time in seconds since the epoch: `30m`, `12h` or `2d` before `now`, or a date and time in ISO format, by
    default in the local time zone. Raises BadInput."""
    if (span := _SPAN.fullmatch(text.strip())) is not None:
        return now - float(span[1]) * _UNITS[span[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"--since {clean(text)}: expected 30m, 12h, 2d, or a time such as 2026-02-15T08:00") from None


def last_use(runs: Path, now: float) -> float | None:
    """When this user last used the app or `xray-tui status` on the runs folder; None if unknown or in the future (after
    the clock was set back)."""
    try:
        values = parse_object(read_small(_file(runs))) or {}
    except OSError:
        return None
    used = values.get("time")
    return float(used) if isinstance(used, int | float) and 0 < used <= now else None


def note_use(runs: Path, now: float) -> None:
    """Save `now` as the time of the last visit. Does nothing on a full disk or without a home folder."""
    path = _file(runs)
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"runs": str(runs.absolute()), "time": now}, 0o600)


def _file(runs: Path) -> Path:
    """One file per runs folder, so that apps on different folders do not overwrite each other's times."""
    from platformdirs import user_state_path

    name = hashlib.sha256(os.fsencode(os.path.realpath(runs))).hexdigest()[:16]
    return user_state_path("xray-tui") / "last_use" / f"{name}.json"


class WelcomeBack:
    """Calls `on_report` once, on its own thread, if the user has been away and there is news.

    The report is built from the first board and the first jobs. After that, key presses update the time of the last
    visit; merely leaving the app open does not.
    """

    def __init__(self, runs: Path, on_report: Callable[[Report], None]) -> None:
        self._runs = runs
        self._on_report = on_report
        self._board: Board | None = None
        self._jobs: tuple[Job, ...] | None = None
        self.since: float | None = None
        """Time of the visit before this one; None if unknown."""
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
        since = self.since = last_use(self._runs, now)
        note_use(self._runs, now)
        with self._lock:
            self._noted = now
        if since is not None and now - since >= ABSENCE:
            report = build_report(jobs, board, since, now)
            if report.has_news:
                self._on_report(report)
