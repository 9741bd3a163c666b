"""The settings file, the files, folders and program named in it, and the log file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

from engine.contract.text import clean
from xray_tui.doctor.findings import Context, Finding, bad, ok, unknown, warn
from xray_tui.jobs.launch.check_spec import program_problem
from xray_tui.settings import settings_path
from xray_tui.system.error_log import error_log


def judge_settings(problems: Sequence[str]) -> list[Finding]:
    """The problems that `load_settings` reported."""
    path = clean(str(settings_path()))
    if problems:
        return [warn("settings", clean(line), f"edit {path}") for line in problems]
    exists = os.path.exists(settings_path())  # noqa: PTH110 - returns False in a closed folder
    return [ok("settings", path if exists else f"{path}: no such file; all settings have their defaults")]


def on_end(context: Context) -> list[Finding]:
    """Whether the program of `on_end` exists and is executable. The check does not run it."""
    command = context.settings.on_end
    if not command:
        return []
    program = os.path.expanduser(command[0])  # noqa: PTH111 - the job does the same
    if (problem := program_problem([program, *command[1:]], os.environ)) is not None:
        return [bad("on_end", problem, "correct on_end in the settings; jobs already launched keep the old command")]
    if "/" in program and not program.startswith("/"):
        relative = f"{clean(program)} is relative to the folder from which a job is launched"
        return [warn("on_end", relative, "give its absolute path in the settings")]
    return [ok("on_end", f"{clean(command[0])} runs after each job")]


def export(context: Context) -> list[Finding]:
    """Whether the file of `export` can be written. The check does not write it."""
    path = context.settings.export
    if path is None:
        return []
    shown, folder = clean(str(path)), path.absolute().parent
    if path.is_dir():
        problem = "a folder; expected a file"
    elif not folder.is_dir():
        problem = "its folder does not exist"
    elif not os.access(folder, os.W_OK | os.X_OK):
        problem = "you cannot write into its folder"
    else:
        return [ok("export", shown)]
    return [bad("export", f"{shown}: {problem}", "correct export in the settings")]


def log_file(context: Context) -> list[Finding]:
    """The path of the log file. An error in it is not a warning, because it may be old."""
    path = error_log()
    shown = clean(str(path))
    try:
        changed = path.stat().st_mtime
    except FileNotFoundError:
        return [ok("log file", f"{shown}: no unexpected error was logged")]
    except OSError as error:
        return [unknown("log file", f"{shown}: {clean(error.strerror or str(error))}")]
    last = datetime.fromtimestamp(changed).strftime("%Y-%m-%d %H:%M")
    return [ok("log file", f"{shown}, last error {last}", "`xray-tui doctor --report` writes a file for a bug report")]
