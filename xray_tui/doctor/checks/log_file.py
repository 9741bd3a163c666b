"""The log file of unexpected errors: its path and the time of its last error."""

from __future__ import annotations

from datetime import datetime

from engine.contract.text import clean
from xray_tui.doctor.context import Context
from xray_tui.doctor.report import Finding, ok, unknown
from xray_tui.system.error_log import error_log

NAME = "log file"


def log_file(context: Context) -> list[Finding]:
    """The path of the log file. An error in it is no warning, because it may be old."""
    path = error_log()
    shown = clean(str(path))
    try:
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return [ok(NAME, f"{shown}: no unexpected error was logged")]
    except OSError as error:
        return [unknown(NAME, f"{shown}: {clean(error.strerror or str(error))}")]
    last = datetime.fromtimestamp(changed).strftime("%Y-%m-%d %H:%M")
    return [ok(NAME, f"{shown}, last error {last}", "`xray-tui doctor --report` writes a file for a bug report")]
