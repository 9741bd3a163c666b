"""Find the runs folder and run the app on it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from engine.contract.errors import Exit
from engine.contract.text import clean
from xray_tui.app.app import XrayApp
from xray_tui.app.terminal_app import RESTORE_TITLE
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.settings import load_settings, runs_folder
from xray_tui.system.error_log import error_log, in_words, log_error

HEAD_START = 0.25
"""Longest wait in seconds for the first scan before Textual starts; a longer scan continues in its thread."""

OUTPUT = "textual-output"
"""Name of Textual's thread that writes to the terminal. It fails if the terminal goes away, and SIGHUP ends the app."""


def run_app(runs: Path | None) -> int:
    """Run the app on `runs`, or on the default runs folder if None; if that does not exist, ask for a folder. Returns
    the exit status."""
    if runs is not None and not os.path.isdir(runs):  # noqa: PTH112 - Path.is_dir raises where access is denied
        what = "not a folder" if os.path.lexists(runs) else "there is no such folder"
        print(f"xray-tui: {clean(str(runs))}: {what}; expected the folder that holds the runs", file=sys.stderr)
        return 2
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("xray-tui: the app needs a terminal; `xray-tui export` prints the board without one", file=sys.stderr)
        return 2
    if os.environ.get("NO_COLOR") == "":
        del os.environ["NO_COLOR"]  # an empty value counts as unset at no-color.org, but not in Textual
    settings, problems = load_settings()
    folder = runs_folder(runs, settings)
    is_there = os.path.isdir(folder)  # noqa: PTH112
    if not is_there and settings.runs_dir is not None:
        problems += (f"settings: runs_dir: {clean(str(folder))}: there is no such folder",)
    feed = BoardFeed(folder) if is_there else None
    if feed is not None:
        feed.start()
        feed.wait(HEAD_START)
    threading.excepthook = _log_thread_error
    try:
        app = XrayApp(folder if is_there else None, settings, problems, feed)
        app.run(mouse=settings.mouse)
        app.services.finish()
        _write(RESTORE_TITLE)
        failure = app.failure
    except Exception as error:
        failure = error
    if failure is not None:
        log_error("the app", failure)
        where = f"the traceback is in {clean(str(error_log()))}; `xray-tui doctor --report` writes a bug report"
        print(f"xray-tui: unexpected error: {in_words(failure)}; {where}", file=sys.stderr)
        return Exit.OTHER
    with suppress(OSError):  # the working folder may be gone
        _write(f"{app.farewell}\n" if app.farewell else "")
    return app.return_code or Exit.DONE


def _write(text: str) -> None:
    """Write to the terminal, without a buffer that the interpreter would flush again if the terminal is gone."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), text.encode())


def _log_thread_error(thrown: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread; a traceback on standard error would overwrite the screen."""
    name = thrown.thread.name if thrown.thread else ""
    if name == OUTPUT and isinstance(thrown.exc_value, OSError):
        _discard_output(thrown.thread)
    elif thrown.exc_value is not None:
        log_error(f"the thread {name}".rstrip(), thrown.exc_value)


def _discard_output(writer: threading.Thread | None) -> None:
    """Read and discard the app's output until the app ends. Textual's queue holds 30 writes, so without a reader the
    app would wait forever for room in it."""
    queue = getattr(writer, "_queue", None)
    while queue is not None and queue.get() is not None:
        pass
