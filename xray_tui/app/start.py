"""Open the app on a runs folder: the one that is given, that the settings name, or that is here."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from engine.contract.errors import Exit
from engine.contract.text import clean
from xray_tui.app.app import XrayApp
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.settings import Settings, load_settings
from xray_tui.system.error_log import error_log, in_words, log_error

HEAD_START = 0.25
"""Seconds that the first scan has before Textual starts; a larger or slower folder goes on beside it."""


def find_runs(given: Path | None, settings: Settings) -> tuple[Path | None, str | None]:
    """The runs folder that is given, else the settings', else ./runs; and a line where the settings' is not there."""
    if given is not None:
        return given, None
    if settings.runs_dir is not None:
        if _is_folder(settings.runs_dir):
            return settings.runs_dir, None
        return None, f"settings: runs_dir: {clean(str(settings.runs_dir))}: there is no such folder"
    here = Path("runs")
    return (here if _is_folder(here) else None), None


def _is_folder(path: Path) -> bool:
    """Whether there is such a folder; Path.is_dir raises where one may not look."""
    return os.path.isdir(path)  # noqa: PTH112


def run_app(runs: Path | None) -> int:
    """Open the app on `runs`, or on the folder that `find_runs` finds, or ask for one; the exit status when it ends."""
    if runs is not None and not _is_folder(runs):
        what = "not a folder" if os.path.lexists(runs) else "there is no such folder"
        print(f"xray-tui: {clean(str(runs))}: {what}; give the folder that holds the runs", file=sys.stderr)
        return 2
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("xray-tui: the app needs a terminal; `xray-tui export` prints the board without one", file=sys.stderr)
        return 2
    if os.environ.get("NO_COLOR") == "":
        del os.environ["NO_COLOR"]  # by no-color.org an empty one says nothing; Textual takes it for a yes
    settings, problems = load_settings()
    folder, missing = find_runs(runs, settings)
    feed = BoardFeed(folder) if folder else None
    if feed is not None:
        feed.start()
        feed.wait(HEAD_START)
    threading.excepthook = _log_thread_error
    try:
        app = XrayApp(folder, settings, [*problems, *([missing] if missing else [])], feed)
        app.run(mouse=settings.mouse)
        app.finish()
        failure = app.failure
    except Exception as error:
        failure = error
    if failure is not None:
        log_error("the app", failure)
        where = f"its traceback is in {clean(str(error_log()))}, and `xray-tui doctor --report` collects a bug report"
        print(f"xray-tui: ended by an unexpected error: {in_words(failure)}; {where}", file=sys.stderr)
        return Exit.OTHER
    return app.return_code or Exit.DONE


def _log_thread_error(thrown: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread; its traceback on standard error would cover the screen."""
    if thrown.exc_value is not None:
        log_error(f"the thread {thrown.thread.name if thrown.thread else ''}".rstrip(), thrown.exc_value)
