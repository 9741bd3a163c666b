"""The log file of unexpected errors with their tracebacks, in the user's state folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Lock

from engine.contract.text import clean

LARGEST, KEPT = 1 << 20, 2
"""Size in bytes at which the log file is rotated, and the number of older files that are kept."""
LONGEST = 200
"""Maximum length of an error on one line, in characters."""

_writing = Lock()


def error_log() -> Path:
    """The path of the log file, which is created at the first error."""
    from platformdirs import user_state_path

    return user_state_path("xray-tui") / "xray-tui.log"


def log_error(what: str, error: BaseException) -> None:
    """Append the error with its traceback; `what` names the work that failed. Never raises, even on a full disk."""
    import logging
    from logging.handlers import RotatingFileHandler

    from engine import __version__

    class File(RotatingFileHandler):
        def handleError(self, record: logging.LogRecord) -> None:
            """Print nothing, because standard error is the app's screen."""

    trace = (type(error), error, error.__traceback__)
    record = logging.LogRecord("xray_tui", logging.ERROR, "", 0, "%s failed", (what,), trace)
    with _writing, suppress(OSError, ValueError, RuntimeError):
        path = error_log()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = File(path, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8", errors="backslashreplace", delay=True)
        file.setFormatter(logging.Formatter(f"%(asctime)s xray-tui {__version__} [%(process)d] %(message)s"))
        try:
            file.handle(record)
        finally:
            file.close()


def in_words(error: BaseException) -> str:
    """The error as one clean line: the system's reason and the file, or the error's type and text."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    return clean(text)[:LONGEST]
